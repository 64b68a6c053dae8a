#include "server/engine/model/lanes.h"

#include <atomic>
#include <set>

#include "ATen/Parallel.h"
#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

TEST(Lanes, DoEachPieceOnceAndReturnWhenAllAreDone) {
  at::set_num_threads(3);
  Lanes lanes(8);
  for (size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{100}}) {
    std::vector<std::atomic<int>> done(count);
    lanes.ForEach(count, [&](size_t i) { ++done[i]; });
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(done[i], 1) << i << " of " << count;
  }
}

TEST(Lanes, ShareTheCallersThreadsAndGiveThemBack) {
  at::set_num_threads(4);
  {
    Lanes lanes(2);
    Mutex mutex;
    std::set<int> threads;
    std::set<std::thread::id> ids;
    std::atomic<int> arrived = 0;
    lanes.ForEach(2, [&](size_t) {
      ++arrived;
      while (arrived < 2) std::this_thread::yield();  // both at once
      MutexLock lock(mutex);
      threads.insert(at::get_num_threads());
      ids.insert(std::this_thread::get_id());
    });
    EXPECT_EQ(threads, std::set<int>{2});
    EXPECT_EQ(ids.size(), 2u);
  }
  int fresh = 0;
  std::thread([&] { fresh = at::get_num_threads(); }).join();
  EXPECT_EQ(fresh, 4);
}

}  // namespace
}  // namespace yoke::engine
