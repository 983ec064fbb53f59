import jax
import pytest


@pytest.fixture(autouse=True)
def _quick_compilation(request):
    """Compile without most optimizations: these programs are tiny, and compiling them is what takes the time.

    The tests in float32 compile as users do.
    """
    jax.config.update("jax_disable_most_optimizations", "x64" in request.fixturenames)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
