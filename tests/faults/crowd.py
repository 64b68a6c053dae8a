"""A yoke-crowd process as Python objects: hundreds of calls at once, each a future."""

import concurrent.futures
import json
import subprocess
import threading


class Refused(Exception):
    """The daemon's answer was an error; `code` as gRPC names it."""

    def __init__(self, answer):
        super().__init__(f"{answer['code']}: {answer['message']}")
        self.code = answer["code"]


class Crowd:
    def __init__(self, program, server):
        self.process = subprocess.Popen([program, server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lock = threading.Lock()
        self.waiting = {}
        self.last = 0
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            with self.lock:
                future = self.waiting.pop(answer["id"])
            if answer["ok"]:
                future.set_result(answer)
            else:
                future.set_exception(Refused(answer))
        with self.lock:
            left, self.waiting = self.waiting, {}
        for future in left.values():
            future.set_exception(Refused({"code": "GONE", "message": "yoke-crowd has ended"}))

    def ask(self, do, **fields):
        """A future of the answer; Refused if it is an error."""
        future = concurrent.futures.Future()
        with self.lock:
            self.last += 1
            self.waiting[self.last] = future
            self.process.stdin.write(json.dumps({"id": self.last, "do": do, **fields}) + "\n")
            self.process.stdin.flush()
        return future

    def call(self, do, timeout=60, **fields):
        return self.ask(do, **fields).result(timeout)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()
