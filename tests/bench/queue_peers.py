"""The peers of tests/bench/queue: pueue and Slurm, each with a daemon and a folder of its own, on this machine alone.

A peer has: name; version(); start(); submit() of a job that does nothing; submit_touch(path) of one that makes a file;
submit_many(count) in the quickest way it has; idle(), whether nothing waits or runs; hold(), from when on nothing starts;
close(). Two jobs run at once.
"""
import atexit
import os
import pathlib
import shutil
import subprocess
import tempfile
import time


def run(*words, check=True, env=None):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, env=env)
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def remove_at_exit(folder):
    """Not at once: before ext4 without a journal gives an inode out, it passes by each that was freed in the last minutes, so who
    comes next would pay up to a millisecond for each of its files."""
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


class Peer:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.name}-queue."))
        self.daemons = []

    def daemon(self, *words, env=None):
        log = open(self.folder / "daemons.log", "ab")
        self.daemons.append(subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env))
        log.close()

    def until(self, what, holds, seconds=60, pause=0.001):
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in self.daemons):
                raise SystemExit(f"{self.name}: {what}: not in {seconds} s\n" + (self.folder / "daemons.log").read_text()[-3000:])
            time.sleep(pause)

    def close(self):
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait()
        remove_at_exit(self.folder)


class Pueue(Peer):
    name = "pueue"

    def __init__(self, bin_dir):
        super().__init__()
        self.bin, self.config = pathlib.Path(bin_dir), self.folder / "pueue.yml"
        self.config.write_text(f"shared:\n  pueue_directory: {self.folder}/data\n  runtime_directory: {self.folder}\n  use_unix_socket: true\n"
                               f"  unix_socket_path: {self.folder}/s\nclient: {{}}\ndaemon: {{}}\n")

    def pueue(self, *words, check=True):
        return run(self.bin / "pueue", "-c", self.config, *words, check=check)

    def version(self):
        return run(self.bin / "pueue", "--version").stdout.strip()

    def start(self):
        self.daemon(self.bin / "pueued", "-c", self.config)
        self.until("its daemon answers", lambda: self.pueue("status", check=False).returncode == 0)
        self.pueue("parallel", "2")

    def submit(self):
        self.pueue("add", "--", "true")

    def submit_touch(self, path):
        self.pueue("add", "--", f"touch {path}")

    def submit_many(self, count):
        for _ in range(count):
            self.submit()

    def wait(self):
        self.pueue("wait", "--all")

    def hold(self):
        self.pueue("pause", "--all")

    def resident(self):
        return [self.daemons[0].pid]


class Slurm(Peer):
    """Controller, node daemon and munge on loopback; scheduling is tuned for quick starts, accounting is off."""
    name = "slurm"
    ports = (36817, 36818)

    def __init__(self):
        super().__init__()
        folder = self.folder
        folder.chmod(0o755)
        for name in ("state", "spool", "munge"):
            (folder / name).mkdir(mode=0o755)
        (folder / "munge" / "key").write_bytes(os.urandom(1024))
        (folder / "munge" / "key").chmod(0o400)
        host = os.uname().nodename
        (folder / "slurm.conf").write_text(f"""ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={self.ports[0]}
SlurmdPort={self.ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
ReturnToService=2
MaxJobCount=200000
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=bench Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
""")
        self.env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}

    def version(self):
        return run("/usr/sbin/slurmctld", "-V").stdout.strip()  # sinfo wants a configuration first

    def start(self):
        munge = self.folder / "munge"
        self.daemon("/usr/sbin/munged", "--foreground", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket", f"--pid-file={munge}/pid",
                    f"--log-file={munge}/log", f"--seed-file={munge}/seed")
        self.until("munge answers", (munge / "socket").exists)
        self.daemon("/usr/sbin/slurmctld", "-D", "-c", env=self.env)
        self.daemon("/usr/sbin/slurmd", "-D", env=self.env)
        self.until("its node is idle", lambda: run("sinfo", "-h", "-o", "%t", check=False, env=self.env).stdout.strip() == "idle", pause=0.01)

    def sbatch(self, *words):
        run("sbatch", "-n", "1", "-o", "/dev/null", *words, env=self.env)

    def submit(self):
        self.sbatch("--wrap", "true")

    def submit_touch(self, path):
        self.sbatch("--wrap", f"touch {path}")

    def submit_many(self, count):
        self.sbatch(f"--array=1-{count}", "--wrap", "true")

    def wait(self):
        self.until("all jobs end", lambda: run("squeue", "-h", "-t", "PD,CF,R,CG", env=self.env).stdout.strip() == "", 300, 0.02)

    def hold(self):
        run("scontrol", "update", "PartitionName=bench", "State=DOWN", env=self.env)

    def resident(self):
        return [daemon.pid for daemon in self.daemons]
