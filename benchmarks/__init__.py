"""The benchmark: nine workloads, ufm beside its peers in one run, every time with the gap that it reached.

    python -m benchmarks                    everything, about an hour on two cores
    python -m benchmarks --quick W1 W4      small sizes of two workloads
    python -m benchmarks --json FILE        the same, and every number to a file

`w1_balanced` to `w9_roofline` are the workloads, each a module of a docstring (what its rows measure), a generator
`rows(quick, limit)` and a list of `CLAIMS`. `row` says what a row of the table is, `timing` how times are taken, `machine` how
many threads everything has, `claims` what a claim is, and `harness` runs it all. Minima and trajectories of W1 to W3 share
`setting`, `minima` and `trajectories`; `peers/` holds PyTorch and SciPy as their users write them.
"""
