"""The tree's rules, as data: which folder may include which, which library each program may need."""

# Folder -> folders it may include (itself always). The longest matching folder counts.
ARROWS = {
    "common/base": [],
    "common/os": ["common/base"],
    "common/ipc": ["common/base", "common/os"],
    "common/log": ["common/base"],
    "common/formats": ["common/base"],
    "server/jobs": ["common", "proto"],
    "server/store": ["server/jobs", "common", "proto"],
    "server/scheduler": ["server/jobs", "server/devices", "proto", "common/base"],
    "server/devices": ["common", "proto"],
    # A reader of streams asks the store for the job's state: End is sent only once it is terminal.
    "server/streams": ["server/jobs", "common", "proto"],
    "server/launcher": ["server/jobs", "server/devices", "server/streams", "common", "proto"],
    "server/service": ["server/jobs", "server/devices", "server/streams", "common", "proto"],
    "server/daemon": ["server/jobs", "server/store", "server/scheduler", "server/devices", "server/launcher",
                      "server/streams", "server/service", "common", "proto"],
    "server/shim": ["common/base", "common/os", "common/ipc"],
    "server/worker": ["server/engine", "common"],
    "server/engine": ["common/base", "common/formats"],
    "client/lib": ["common", "proto"],
    "client/cli": ["client/lib", "common", "proto"],
}

# Program -> parts of library names it must never need, directly or through its own libraries.
FORBIDDEN_LINKS = {
    "yoked": ["torch", "c10", "opencv", "cuda"],
    "yoke": ["torch", "c10", "opencv", "cuda", "sqlite", "SQLite"],
    "yoke-worker": ["grpc", "protobuf", "sqlite", "SQLite", "nvidia-ml", "torch_cuda"],
}

# Programs that must not need any library at all.
STATIC_PROGRAMS = ["yoke-shim"]

# Second-level folders that need a README.md.
README_PARENTS = ["common", "server", "client", "proto/yoke"]

MAX_FILE_LINES = 520
