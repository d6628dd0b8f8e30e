"""The benchmark: nine workloads, ufm beside its peers in one run, every time with the gap that it reached.

    python -m benchmarks                    everything, about half an hour on two cores
    python -m benchmarks --quick W1 W4      small sizes of two workloads
    python -m benchmarks --json FILE        the same, and every number to a file

`row` says what a row of the table is and `timing` how times are taken; `peers/` holds PyTorch and SciPy as their users write
them; `w1_balanced` to `w9_roofline` are the workloads.
"""
