# SPDX-License-Identifier: Apache-2.0
"""scripts/supervisor: starts, stops, scales and shows the processes of a suite, on top of supervisord.

Called by scripts/supervisor, as the user of the suite, with the state and run directories first.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
import xmlrpc.client

sys.dont_write_bytecode = True

import programs
import status
import upgrade
from layout import COMPONENTS, LARGEST_SCALE, SINGLE, Instance, Refusal, Suite, warn
from rpc import supervisord

# How long a process may take until it is ready.
READY_SECONDS = 60
# The faults of supervisord that mean "it is so already".
BAD_NAME, ALREADY_ADDED, ALREADY_STARTED, NOT_RUNNING = 10, 90, 60, 70


class Supervisor:
    def __init__(self, suite: Suite, ready_seconds: float = READY_SECONDS):
        self.suite = suite
        self.ready_seconds = ready_seconds
        self.rpc = supervisord(suite.run_path("supervisor.sock"))

    # Commands

    def start(self, name: str | None) -> None:
        chosen = self.suite.select(name)
        programs.generate(self.suite)
        self.forget_restarts(chosen)
        if self.rpc is None:
            self.start_supervisord(chosen)
        else:
            self.rpc.reloadConfig()
            for instance in chosen:
                self.add(instance)
        self.wait_until_ready(chosen)

    def stop(self, name: str | None) -> None:
        if self.rpc is None:
            if name is None:
                self.end_orphans()
                return
            raise Refusal("the suite is not running", 1)
        if name is None:
            self.shut_down()
            return
        for instance in reversed(self.suite.select(name)):
            self.stop_process(instance.name)

    def restart(self, name: str | None) -> None:
        if self.rpc is None:
            if name is not None:
                raise Refusal("the suite is not running", 1)
            self.end_orphans()
            self.start(None)
            return
        chosen = self.suite.select(name)
        if name is not None:
            self.roll(chosen)
            return
        # Also what is no longer wanted.
        for group in sorted((info["name"] for info in self.rpc.getAllProcessInfo()), key=self.stop_order):
            self.remove(group)
        programs.generate(self.suite)
        self.forget_restarts(chosen)
        self.rpc.reloadConfig()
        for instance in chosen:
            self.add(instance)
        self.wait_until_ready(chosen)

    def upgrade(self) -> None:
        """To the executables in bin.new, or back again."""
        if self.rpc is None:
            raise Refusal("the suite is not running; scripts/run starts the new build", 1)
        upgrade.check(self.suite)
        upgrade.put_in(self.suite)
        touched: list[Instance] = []
        try:
            self.roll(upgrade.order(self.suite.instances()), touched)
        except Refusal as refusal:
            warn(f"{refusal}; back to the former build")
            upgrade.put_back(self.suite)
            self.roll(touched)
            raise Refusal("the new build did not get ready; the former one runs again", 70) from None

    def scale(self, component: str, number: int) -> None:
        if component not in COMPONENTS:
            raise Refusal(f"there is no component {component}; known are {', '.join(COMPONENTS)}", 64)
        if component in SINGLE and number != 1:
            raise Refusal(f"{component} has exactly one process: {SINGLE[component]}", 64)
        # A suite without federation is whole.
        least = 0 if component == "s2s" else 1
        if not least <= number <= LARGEST_SCALE.get(component, 1):
            most = LARGEST_SCALE.get(component, 1)
            raise Refusal(f"{component} has {least} to {most} processes; to have none, stop it", 64)
        before = {i.name for i in self.suite.instances() if i.component == component}
        self.suite.set_scale(component, number)
        after = [i for i in self.suite.instances() if i.component == component]
        programs.generate(self.suite)
        if self.rpc is None:
            print(f"{component} will have {number} processes when the suite starts")
            return
        self.rpc.reloadConfig()
        for gone in sorted(before - {i.name for i in after}, reverse=True):
            self.remove(gone)
        added = [i for i in after if i.name not in before]
        self.forget_restarts(added)
        for instance in added:
            self.add(instance)
        self.wait_until_ready(after)
        if component == "router":
            self.reload()

    def status(self, json: bool) -> int:
        table = status.rows(self.suite, self.rpc)
        print(status.as_json(table) if json else status.as_table(table))
        # As for init scripts: 3 means "not running".
        return 0 if self.rpc is not None else 3

    # Steps

    def roll(self, chosen: list[Instance], touched: list[Instance] | None = None) -> None:
        """Restarts one after the other, the next when this one is ready again; `touched` gets what was begun."""
        for instance in chosen:
            if touched is not None:
                touched.append(instance)
            # SIGTERM drains it.
            self.remove(instance.name)
            programs.generate(self.suite)
            self.forget_restarts([instance])
            self.rpc.reloadConfig()
            self.add(instance)
            self.wait_until_ready([instance])

    def reload(self) -> None:
        """Has all processes read the configuration again, and with it how many routers they link to."""
        for instance in self.suite.instances():
            if instance.component == "postgresql":
                continue
            try:
                self.rpc.signalProcess(instance.name, "HUP")
            except xmlrpc.client.Fault as fault:
                if fault.faultCode not in (NOT_RUNNING, BAD_NAME):
                    raise

    def start_supervisord(self, chosen: list[Instance]) -> None:
        self.end_orphans()
        self.check_executables()
        wanted = {i.name for i in chosen}
        configuration = self.suite.path("supervisor", "supervisord.conf")
        # By its path: another `supervisord` in PATH might belong to another Python.
        program = "/usr/bin/supervisord" if os.path.exists("/usr/bin/supervisord") else "supervisord"
        subprocess.run([program, "--configuration", configuration], check=True)
        deadline = time.monotonic() + 20
        while self.rpc is None and time.monotonic() < deadline:
            time.sleep(0.05)
            self.rpc = supervisord(self.suite.run_path("supervisor.sock"))
        if self.rpc is None:
            raise Refusal(f"supervisord does not answer; see {self.suite.log_directory}/supervisord.log", 70)
        for instance in reversed(self.suite.instances()):
            if instance.name not in wanted:
                self.stop_process(instance.name)

    def check_executables(self) -> None:
        for component in ("router", "sm", "s2s", "c2s"):
            if not os.access(self.suite.executable(component), os.X_OK):
                raise Refusal(f"{self.suite.executable(component)} is missing; scripts/run builds it", 69)

    def add(self, instance: Instance) -> None:
        try:
            self.rpc.addProcessGroup(instance.name)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != ALREADY_ADDED:
                raise
            try:
                self.rpc.startProcess(instance.name)
            except xmlrpc.client.Fault as start_fault:
                if start_fault.faultCode != ALREADY_STARTED:
                    raise

    def stop_process(self, name: str) -> None:
        try:
            self.rpc.stopProcess(name)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in (NOT_RUNNING, BAD_NAME):
                raise

    def remove(self, name: str) -> None:
        self.stop_process(name)
        try:
            self.rpc.removeProcessGroup(name)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != BAD_NAME:
                raise

    def shut_down(self) -> None:
        pid = self.rpc.getPID()
        try:
            self.rpc.shutdown()
        except OSError:
            pass
        deadline = time.monotonic() + 180
        while os.path.exists(f"/proc/{pid}"):
            if time.monotonic() > deadline:
                raise Refusal(f"supervisord (process {pid}) does not end", 70)
            time.sleep(0.05)
        self.rpc = None

    def end_orphans(self) -> None:
        """Ends the processes that a killed supervisord left behind: they hold ports and the cluster."""
        directory = self.suite.run_path("pids")
        names = os.listdir(directory) if os.path.isdir(directory) else []
        for name in sorted(names, key=self.stop_order):
            pid = self.orphan(os.path.join(directory, name), name)
            if pid is None:
                continue
            warn(f"{name} (process {pid}) runs without a supervisor; it is stopped")
            os.kill(pid, signal.SIGINT if name == "postgresql" else signal.SIGTERM)
            deadline = time.monotonic() + 60
            while os.path.exists(f"/proc/{pid}"):
                if time.monotonic() > deadline:
                    raise Refusal(f"{name} (process {pid}) does not end", 70)
                time.sleep(0.05)

    def orphan(self, file: str, name: str) -> int | None:
        """The process that a pid file names, if it is still ours: the number may belong to another by now."""
        try:
            with open(file, encoding="ascii") as stream:
                pid = int(stream.read())
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as stream:
                arguments = stream.read().split("\0")
        except (OSError, ValueError):
            return None
        marks = [self.suite.path("postgresql")] if name == "postgresql" else [self.suite.configuration_file, name]
        return pid if all(mark in arguments for mark in marks) else None

    def forget_restarts(self, chosen: list[Instance]) -> None:
        """A start that was asked for does not wait."""
        for instance in chosen:
            try:
                os.remove(self.suite.run_path("restarts", instance.name))
            except FileNotFoundError:
                pass

    def wait_until_ready(self, chosen: list[Instance]) -> None:
        deadline = time.monotonic() + self.ready_seconds
        waiting = list(chosen)
        while waiting:
            waiting = [i for i in waiting if not status.is_ready(self.suite, i)]
            if waiting and time.monotonic() > deadline:
                for instance in waiting:
                    self.show_log(instance)
                names = ", ".join(i.name for i in waiting)
                raise Refusal(f"not ready after {self.ready_seconds:g} s: {names}", 69)
            if waiting:
                time.sleep(0.1)

    def show_log(self, instance: Instance) -> None:
        path = os.path.join(self.suite.log_directory, f"{instance.name}.log")
        warn(f"the end of {path}:")
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                sys.stderr.writelines(file.readlines()[-10:])
        except OSError as error:
            warn(str(error))

    @staticmethod
    def stop_order(name: str) -> tuple[int, str]:
        component = name.partition("-")[0]
        return (-COMPONENTS.index(component) if component in COMPONENTS else 1, name)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/supervisor", description="Starts, stops and shows the suite.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in [
        ("start", "start everything, a component or an instance, and wait until it is ready"),
        ("stop", "stop it"),
        ("restart", "stop it and start it; the instances of a component one after the other"),
    ]:
        command = commands.add_parser(name, help=text)
        command.add_argument("name", nargs="?", help="a component (c2s) or an instance (c2s-1)")
        add_timeout(command)
    command = commands.add_parser("upgrade", help="put in a new build (--binaries DIRECTORY), one process after the other")
    add_timeout(command)
    command = commands.add_parser("status", help="show the processes")
    command.add_argument("--json", action="store_true", help="as a list of objects")
    command = commands.add_parser("scale", help="set the number of processes of a component")
    command.add_argument("component")
    command.add_argument("number", type=int)
    add_timeout(command)
    commands.add_parser("generate", help="write supervisord's configuration and do no more")
    return parser.parse_args(arguments)


def add_timeout(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--timeout", type=float, default=READY_SECONDS, metavar="SECONDS",
        help=f"how long a process may take to get ready ({READY_SECONDS})",
    )


def main() -> int:
    state, run = sys.argv[1:3]
    arguments = parse(sys.argv[3:])
    suite = Suite(state, run)
    try:
        if arguments.command == "generate":
            programs.generate(suite)
            return 0
        supervisor = Supervisor(suite, getattr(arguments, "timeout", READY_SECONDS))
        if arguments.command == "status":
            return supervisor.status(arguments.json)
        if arguments.command == "scale":
            supervisor.scale(arguments.component, arguments.number)
        elif arguments.command == "upgrade":
            supervisor.upgrade()
        else:
            getattr(supervisor, arguments.command)(arguments.name)
    except Refusal as refusal:
        warn(str(refusal))
        return refusal.code
    except KeyboardInterrupt:
        return 130
    except xmlrpc.client.Fault as fault:
        warn(f"supervisord: {fault.faultString}")
        return 70
    return 0


if __name__ == "__main__":
    sys.exit(main())
