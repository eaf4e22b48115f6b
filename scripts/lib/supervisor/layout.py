# SPDX-License-Identifier: Apache-2.0
"""Where a suite is, what its configuration says, and which processes make it up."""

import dataclasses
import json
import os
import subprocess
import sys

# The order of starting; stopping goes the other way.
COMPONENTS = ["postgresql", "router", "sm", "s2s", "c2s"]

# What may have one process only, and why.
SINGLE = {
    "postgresql": "the private cluster has one server",
}

# As many as the configuration may ask for.
LARGEST_SCALE = {"router": 8, "sm": 16, "s2s": 16, "c2s": 64}


class Refusal(Exception):
    """What is said to the operator before the script ends; `code` is the exit code."""

    def __init__(self, text: str, code: int = 1):
        super().__init__(text)
        self.code = code


@dataclasses.dataclass(frozen=True)
class Instance:
    """One process: `c2s-1`."""

    component: str
    number: int

    @property
    def name(self) -> str:
        return self.component if self.component == "postgresql" else f"{self.component}-{self.number}"


class Suite:
    """A state directory with its configuration, as `jackdawctl config` reads it."""

    def __init__(self, state: str, run: str):
        self.state = state
        self.run = run
        self.configuration_file = os.path.join(state, "jackdaw.yml")
        self._configuration: dict | None = None

    def path(self, *parts: str) -> str:
        return os.path.join(self.state, *parts)

    def run_path(self, *parts: str) -> str:
        return os.path.join(self.run, *parts)

    def executable(self, component: str) -> str:
        return self.path("bin", f"jackdaw-{component}")

    @property
    def configuration(self) -> dict:
        if self._configuration is None:
            configuration = self._read_configuration()
            self._check(configuration)
            self._configuration = configuration
        return self._configuration

    def _read_configuration(self) -> dict:
        program = self.path("bin", "jackdawctl")
        if not os.path.exists(program):
            raise Refusal("nothing has been built yet; scripts/run builds and starts the suite", 69)
        answer = subprocess.run(
            [program, "config", "--config", self.configuration_file, "--json"], stdout=subprocess.PIPE, check=False
        )
        if answer.returncode != 0:
            raise Refusal(f"the configuration {self.configuration_file} cannot be used", 78)
        return json.loads(answer.stdout)

    def _check(self, configuration: dict) -> None:
        """Refuses what is good for processes that run by themselves, but not for those that we look after."""
        run = configuration["paths"]["run"]
        if configuration["private_database"] and os.path.realpath(run) != os.path.realpath(self.run):
            raise Refusal(
                f"paths.run is {run}, where the processes look for the database, but its socket is in {self.run}: "
                f"remove paths.run from {self.configuration_file}, or stop the suite and set "
                f"JACKDAW_STATE={self.state} JACKDAW_RUN={run} before each script",
                78,
            )
        for component in COMPONENTS:
            if configuration["http"].get(component) == 0:
                raise Refusal(
                    f"http.{component}_port is 0, any free port: the supervisor could not ask the process whether it "
                    "is ready; give it a number",
                    78,
                )

    @property
    def log_directory(self) -> str:
        return self.configuration["paths"]["logs"]

    @property
    def has_private_database(self) -> bool:
        return self.configuration["private_database"] and os.path.exists(self.path("postgresql", "PG_VERSION"))

    def scale(self, component: str) -> int:
        """How many processes of a component there are: by `scale`, else by the configuration."""
        try:
            with open(self.path("supervisor", f"scale-{component}"), encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            return self.configuration["supervisor"].get(component, 1)

    def set_scale(self, component: str, number: int) -> None:
        path = self.path("supervisor", f"scale-{component}")
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(f"{number}\n")
        os.replace(path + ".new", path)

    def instances(self) -> list[Instance]:
        """All processes in the order of starting."""
        result = []
        for component in COMPONENTS:
            if component == "postgresql":
                number = 1 if self.has_private_database else 0
            else:
                number = self.scale(component)
            if number > 1 and component in SINGLE:
                raise Refusal(f"the configuration asks for {number} processes of {component}: {SINGLE[component]}", 78)
            result += [Instance(component, n) for n in range(1, number + 1)]
        return result

    def select(self, name: str | None) -> list[Instance]:
        """The processes that a component or an instance name means; all without a name."""
        everything = self.instances()
        chosen = [i for i in everything if name is None or name in (i.component, i.name)]
        if not chosen:
            known = ", ".join(sorted({i.component for i in everything} | {i.name for i in everything}))
            raise Refusal(f"there is no {name}; known are {known}", 64)
        return chosen

    def http_port(self, instance: Instance) -> int | None:
        """PostgreSQL has none."""
        base = self.configuration["http"].get(instance.component)
        return None if base is None else base + instance.number - 1


def warn(text: str) -> None:
    print(f"supervisor: {text}", file=sys.stderr)
