"""What scripts that measure against the PyPI `ultralytics` package have in common."""
import json
import shutil
import subprocess
import sys


def own_copy(yaml, folder):
    """Copies a data set, its YAML's folder, into `folder` and returns the YAML there: the peer writes caches beside the
    labels, and takes a relative `path:` to be under a folder of its own."""
    shutil.copytree(yaml.parent, folder)
    return with_absolute_path(folder / yaml.name)


def with_absolute_path(yaml):
    lines = [line for line in yaml.read_text().splitlines() if not line.startswith("path:")]
    yaml.write_text("\n".join([f"path: {yaml.parent}", *lines]) + "\n")
    return yaml


def answer_in(output):
    """The object that a script of the peer's printed after ANSWER; ends the program if there is none."""
    for line in output.splitlines():
        if line.startswith("ANSWER "):
            return json.loads(line[7:])
    sys.exit(f"the peer failed:\n{output[-4000:]}")


def ask(python, script, *words, **options):
    """Runs `script` by the peer's Python and returns its answer."""
    done = subprocess.run([python, "-c", script, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    return answer_in(done.stdout)
