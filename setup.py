"""Compiles the three packet-path modules; everything else about the distribution is in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup

MODULES = {
    "wire.udp": "wire/udp.pyx",
    "turnd.turn.relay": "turnd/turn/relay.pyx",
    "sfu.forward": "sfu/forward.pyx",
}

setup(
    ext_modules=cythonize(
        [Extension(name, [path], extra_compile_args=["-O2", "-g0"]) for name, path in MODULES.items()],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
        },
    ),
    options={"build_ext": {"parallel": len(MODULES)}},
)
