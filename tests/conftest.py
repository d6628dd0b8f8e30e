import jax
from hypothesis import settings

from ufm.environment import prefer_quick_compilation

prefer_quick_compilation()
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
# the same examples in every run: a suite that is green once stays green (`ufm verify --cases` is there to search)
settings.register_profile("ufm", derandomize=True, database=None)
settings.load_profile("ufm")
