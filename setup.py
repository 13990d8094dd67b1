"""What pyproject.toml cannot say yet: a C module that makes reading vLLM's answers faster.

It is optional: where there is no compiler, the installation goes on without it.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "duologue.agents.models.vllm._answer",
            ["agents/models/vllm/_answer.c"],
            optional=True,
        )
    ]
)
