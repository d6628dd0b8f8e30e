import jax

from ufm.environment import prefer_quick_compilation

prefer_quick_compilation()
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
