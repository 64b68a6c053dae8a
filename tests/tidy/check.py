"""Checks the tree against rules.py. usage: check.py CHECK SOURCE_DIR [BUILD_DIR]; exit 1 lists what is wrong."""

import json
import os
import re
import subprocess
import sys
import tempfile

import rules

SOURCE_SUFFIXES = (".cc", ".h", ".cpp", ".hpp")
CODE_FOLDERS = ("common", "server", "client", "tests", "proto", "deploy")


def tracked_files(source):
    """Files of the tree, by git where there is a repository, else by walking; relative paths."""
    try:
        out = subprocess.run(["git", "-C", source, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             capture_output=True, check=True).stdout
        files = [name for name in out.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        files = []
        for folder, folders, names in os.walk(source):
            folders[:] = [f for f in folders if f not in (".git", "build")]
            files += [os.path.relpath(os.path.join(folder, name), source) for name in names]
    return [name for name in files if os.path.isfile(os.path.join(source, name))]


def read(source, name):
    with open(os.path.join(source, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def folder_of(path):
    matches = [folder for folder in rules.ARROWS if path.startswith(folder + "/")]
    return max(matches, key=len, default=None)


def target_of(include):
    if include.startswith(("yoke/v1/", "google/rpc/")):
        return "proto"
    return include if include.startswith(("common/", "server/", "client/", "tests/", "deploy/")) else None


def check_arrows(source, build):
    problems = []
    for name in tracked_files(source):
        owner = folder_of(name)
        if owner is None or not name.endswith(SOURCE_SUFFIXES):
            continue
        for number, line in enumerate(read(source, name).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            target = target_of(match.group(1)) if match else None
            if target is None:
                continue
            allowed = [owner] + rules.ARROWS[owner]
            if not any(target == a or target.startswith(a + "/") for a in allowed):
                problems.append(f"{name}:{number}: {owner} may not include {match.group(1)}")
    return problems


def needed(path, lib_dir, seen):
    """Library names that `path` needs, through the bundle's own libraries; system ones are not entered."""
    out = subprocess.run(["readelf", "-d", path], capture_output=True, check=True, text=True).stdout
    names = set(re.findall(r"\(NEEDED\).*\[(.+?)\]", out))
    for name in list(names):
        own = os.path.join(lib_dir, name)
        if name not in seen and os.path.exists(own):
            seen.add(name)
            names |= needed(own, lib_dir, seen)
    return names


def check_links(source, build):
    problems = []
    checked = 0
    for program, forbidden in rules.FORBIDDEN_LINKS.items():
        path = os.path.join(build, "bin", program)
        if not os.path.exists(path):
            continue
        checked += 1
        for library in sorted(needed(path, os.path.join(build, "lib"), set())):
            if any(part in library for part in forbidden):
                problems.append(f"{program} must not need {library}")
    for program in rules.STATIC_PROGRAMS:
        path = os.path.join(build, "bin", program)
        if os.path.exists(path):
            checked += 1
            for library in sorted(needed(path, "", set())):
                problems.append(f"{program} must be static, but needs {library}")
    return problems if checked else ["no built program found; build first"]


def check_relocatable(source, build):
    """No built program carries the path of the folder it was built in as a place to look for libraries."""
    problems = []
    for folder in ("bin", "lib"):
        path = os.path.join(build, folder)
        for name in sorted(os.listdir(path)):
            file = os.path.join(path, name)
            if not os.path.isfile(file) or name.endswith(".a"):
                continue
            out = subprocess.run(["readelf", "-d", file], capture_output=True, text=True).stdout
            for run_path in re.findall(r"R(?:UN)?PATH\).*\[(.+?)\]", out):
                if any(part and not part.startswith("$ORIGIN") for part in run_path.split(":")):
                    problems.append(f"{folder}/{name}: library search path {run_path} is not relative")
    return problems


def sources_of(unit):
    """What a unit of compile_commands.json compiles: itself, or the files that it puts together."""
    if not re.search(r"/Unity/unity_\d+_cxx\.cxx$", unit):
        return [unit]
    return re.findall(r'^#include "(.+)"$', read("", unit), re.MULTILINE)


def compilations(source, build):
    """Source relative to the tree -> (command, folder) that compile it alone, also where it is compiled with others."""
    found = {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    for entry in entries:
        for name in sources_of(entry["file"]):
            relative = os.path.relpath(os.path.realpath(name), os.path.realpath(source))
            found[relative] = (entry["command"].replace(entry["file"], name), entry["directory"])
    return found


def check_built(source, build):
    """No dead source: every .cc belongs to a target of the full build."""
    compiled = compilations(source, build)
    return [f"{name}: in no target; add it to a CMakeLists.txt or delete it"
            for name in tracked_files(source)
            if name.endswith(".cc") and name.startswith(CODE_FOLDERS) and name not in compiled]


def unnamed_functions(text):
    """Names of the functions in the unnamed namespaces of a source."""
    names, inside = set(), False
    for line in text.splitlines():
        if line.startswith(("namespace {", "}  // namespace")):
            inside = line == "namespace {"
        elif inside and (found := re.match(r"(?!using\b|return\b|#|//)[A-Za-z][^(){};=]*?[ *&](\w+)\(", line)):
            names.add(found.group(1))
    return names


def check_together(source, build):
    """Of files that are compiled together no two have functions of one name: a call may take the other one."""
    problems = set()
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        units = {entry["file"] for entry in json.load(file)}
    for unit in units:
        seen = {}
        for path in sources_of(unit):
            name = os.path.relpath(os.path.realpath(path), os.path.realpath(source))
            if name.startswith("tests/"):
                continue
            for function in unnamed_functions(read("", path)):
                if function in seen:
                    problems.add(f"{name}: {function} is also in {seen[function]}, which is compiled together with it; rename one")
                seen[function] = name
    return sorted(problems)


def check_failpoints(source, build):
    """Without the option, which releases leave off, sources that have failpoints keep nothing of them."""
    with open(os.path.join(source, "CMakePresets.json"), encoding="utf-8") as file:
        presets = {preset["name"]: preset for preset in json.load(file)["configurePresets"]}
    problems = []
    if presets["release"]["cacheVariables"].get("YOKE_FAILPOINTS") != "OFF":
        problems.append("CMakePresets.json: release must have YOKE_FAILPOINTS OFF")
    commands = compilations(source, build)
    option = "-DYOKE_FAILPOINTS"
    for name in ("common/os/failpoint.cc", "common/os/file.cc", "common/os/ofd_lock.cc", "server/shim/claim.cc"):
        command, folder = commands[name]
        words = [word for word in command.split() if word != option]
        for extra, wanted in (([], False), ([option], True)):
            with tempfile.NamedTemporaryFile(suffix=".o") as object_file:
                words[words.index("-o") + 1] = object_file.name
                subprocess.run(words + extra, cwd=folder, check=True)
                found = b"VisitFailpoint" in object_file.read()
            if found != wanted:
                problems.append(f"{name}: {'no failpoints with' if wanted else 'failpoints left without'} {option}")
    with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as file:
        off = "YOKE_FAILPOINTS:BOOL=ON" not in file.read()
    for program in ("yoked", "yoke-shim", "yoke", "yoke-worker") if off else ():
        path = os.path.join(build, "bin", program)
        if os.path.exists(path):
            with open(path, "rb") as file:
                if b"YOKE_FAILPOINTS" in file.read():
                    problems.append(f"bin/{program} has failpoints")
    return problems


def check_text(source, build):
    problems = []
    for name in tracked_files(source):
        if not name.endswith(SOURCE_SUFFIXES + (".proto", ".py", ".md", ".cmake", ".txt", ".yaml", ".json", "")):
            continue
        if "/golden/" in name or "/fuzz/corpus/" in name or name in ("LICENSE", "tests/tidy/check.py"):
            continue
        text = read(source, name)
        lines = text.splitlines()
        if name.endswith(SOURCE_SUFFIXES) and len(lines) > rules.MAX_FILE_LINES:
            problems.append(f"{name}: {len(lines)} lines; split it (limit {rules.MAX_FILE_LINES})")
        if name.endswith(".h") and "#pragma once" not in text:
            problems.append(f"{name}: no #pragma once")
        for number, line in enumerate(lines, 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                problems.append(f"{name}:{number}: unfinished work; finish it")
            if re.search(r"(^|[\s\"'=(])/(work|root|home)/[a-z]", line):
                problems.append(f"{name}:{number}: a path of one machine")
            if name.endswith(SOURCE_SUFFIXES) and "absl/synchronization/mutex.h" in line:
                problems.append(f"{name}:{number}: use yoke::Mutex; absl::Mutex gives false race reports")
    return problems


def check_readmes(source, build):
    problems = []
    for parent in rules.README_PARENTS:
        for name in sorted(os.listdir(os.path.join(source, parent))):
            folder = os.path.join(source, parent, name)
            if os.path.isdir(folder):
                readme = os.path.join(folder, "README.md")
                if not os.path.exists(readme):
                    problems.append(f"{parent}/{name}: no README.md")
                elif len(read(folder, "README.md").splitlines()) > 70:
                    problems.append(f"{parent}/{name}/README.md: longer than one screen")
    return problems


def main():
    check, source = sys.argv[1], sys.argv[2]
    problems = globals()["check_" + check](source, sys.argv[3] if len(sys.argv) > 3 else None)
    for problem in problems:
        print(problem)
    print(f"{check}: {len(problems)} problem(s)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
