"""Second-order facts of balanced squared error: Hessian spectra, rates, step limits, escape from zero."""
