// Runs a function as several ranks of one gloo group, one thread each. No group is let go of before all are done.
#pragma once

#include <signal.h>
#include <stdlib.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "server/engine/distributed/group.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {

inline void RunAsRanks(int world_size, const std::function<void(Group&)>& rank) {
  const yoke::TempFolder folder;
  signal(SIGPIPE, SIG_IGN);  // as a worker does: a peer may close first
  // c10d's flight recorder is one per process and takes in a new group's name without a lock: with ranks in threads it
  // crashes now and then. A worker is one rank, with one thread that begins collectives.
  setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1);
  setenv("TORCH_NCCL_TRACE_BUFFER_SIZE", "0", 1);
  std::vector<std::shared_ptr<Group>> groups(static_cast<size_t>(world_size));
  std::vector<std::thread> threads;
  for (int i = 0; i < world_size; ++i) {
    threads.emplace_back([&, i] {
      GroupOptions options;
      options.rank = i;
      options.world_size = world_size;
      options.store_path = folder.path() + "/store";
      options.timeout_seconds = 60;
      const absl::StatusOr<std::shared_ptr<Group>> group = MakeGroup(options);
      ASSERT_TRUE(group.ok()) << group.status();
      groups[static_cast<size_t>(i)] = *group;
      rank(**group);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace yoke::engine
