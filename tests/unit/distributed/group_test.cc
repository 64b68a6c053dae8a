#include "server/engine/distributed/group.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/distributed/gradient_exchange.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/distributed/ranks.h"

namespace yoke::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Group, SumsATensorOverTheRanks) {
  RunAsRanks(2, [](Group& group) {
    at::Tensor tensor = at::arange(5, at::kFloat) + group.rank();
    ASSERT_TRUE(group.AllReduceSum(tensor).ok());
    EXPECT_TRUE(at::equal(tensor, at::arange(5, at::kFloat) * 2 + 1));
  });
}

TEST(Group, BroadcastsFromAnyRoot) {
  RunAsRanks(2, [](Group& group) {
    for (int root : {0, 1}) {
      at::Tensor tensor = at::full({3}, group.rank() + 5);
      ASSERT_TRUE(group.Broadcast(tensor, root).ok());
      EXPECT_TRUE(at::equal(tensor, at::full({3}, root + 5)));
    }
  });
}

TEST(Group, GathersBytesOfAnyLengthByRank) {
  RunAsRanks(3, [](Group& group) {
    const std::string all[] = {"", std::string("a\0b", 3), std::string(100000, 'x')};
    const auto gathered = group.AllGatherBytes(all[group.rank()]);
    ASSERT_TRUE(gathered.ok()) << gathered.status();
    EXPECT_THAT(*gathered, ElementsAre(all[0], all[1], all[2]));
    const auto nothing = group.AllGatherBytes("");
    ASSERT_TRUE(nothing.ok()) << nothing.status();
    EXPECT_THAT(*nothing, ElementsAre("", "", ""));
  });
}

TEST(Group, IsTrueForAllAsSoonAsForOne) {
  RunAsRanks(2, [](Group& group) {
    EXPECT_FALSE(*group.AnyTrue(false));
    EXPECT_TRUE(*group.AnyTrue(group.rank() == 1));
    EXPECT_FALSE(*group.AnyTrue(false));
    EXPECT_TRUE(group.Barrier().ok());
  });
}

TEST(Group, OfOneNeedsNoStore) {
  const auto group = MakeGroup({});
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ((*group)->world_size(), 1);
  at::Tensor tensor = at::ones({2});
  EXPECT_TRUE((*group)->AllReduceSum(tensor).ok());
  EXPECT_TRUE(at::equal(tensor, at::ones({2})));
  EXPECT_THAT(*(*group)->AllGatherBytes("me"), ElementsAre("me"));
  EXPECT_TRUE(*(*group)->AnyTrue(true));
}

TEST(Group, RefusesRanksAndBackendsThatDoNotExist) {
  EXPECT_EQ(MakeGroup({.rank = 2, .world_size = 2}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeGroup({.backend = "mpi"}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Group, APeerThatNeverComesIsUnavailableWithinTheTimeout) {
  const yoke::TempFolder folder;
  const auto begin = std::chrono::steady_clock::now();
  const auto group = MakeGroup(
      {.rank = 0, .world_size = 2, .store_path = folder.path() + "/store", .timeout_seconds = 2});
  EXPECT_EQ(group.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(group.status().message()), HasSubstr("rendezvous"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

// Rank 1 is a process of its own: this program again, which joins and waits to be killed.
TEST(Group, APeerThatDiesMakesTheOperationUnavailable) {
  signal(SIGPIPE, SIG_IGN);
  const yoke::TempFolder folder;
  const std::string store = folder.path() + "/store";
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const pid_t peer = fork();
  if (peer == 0) {
    execl(self.c_str(), self.c_str(), "--join", store.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  const auto group =
      MakeGroup({.rank = 0, .world_size = 2, .store_path = store, .timeout_seconds = 30});
  ASSERT_TRUE(group.ok()) << group.status();
  at::Tensor tensor = at::ones({1000});
  EXPECT_TRUE((*group)->AllReduceSum(tensor).ok());
  kill(peer, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(peer, &status, 0), peer);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the peer ended by itself: " << status;

  const auto begin = std::chrono::steady_clock::now();
  const absl::Status reduced = (*group)->AllReduceSum(tensor);
  EXPECT_EQ(reduced.code(), absl::StatusCode::kUnavailable) << reduced;
  EXPECT_THAT(std::string(reduced.message()), HasSubstr("rank 0: an all-reduce"));
  const auto agreed = (*group)->AnyTrue(false);
  EXPECT_EQ(agreed.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(agreed.status().message()), HasSubstr("an agreement"));
  EXPECT_EQ((*group)->AllGatherBytes("x").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

// y = w . x with two layers, so that there are several gradients.
struct Net {
  at::Tensor first = at::full({4, 3}, 0.5).requires_grad_(true);
  at::Tensor second = at::full({4}, 2.0).requires_grad_(true);
  at::Tensor Loss(const at::Tensor& x) const { return second.dot(first.mv(x).relu()).pow(2); }
};

std::vector<at::Tensor> GradientsOf(Net& net) { return {net.first.grad(), net.second.grad()}; }

at::Tensor InputOf(int rank) { return at::tensor({1.0f, 2.0f, 3.0f}) * (rank + 1); }

// Its gradients as views of one tensor, the last parameter first.
at::Tensor Flatten(Net& net, std::vector<GradientPlace>& places) {
  const at::Tensor flat = at::zeros({16 + 4});
  net.second.mutable_grad() = flat.narrow(0, 0, 4);
  net.first.mutable_grad() = flat.narrow(0, 4, 12).view({4, 3});
  places = {{net.second, 0}, {net.first, 4}};
  return flat;
}

// The sum over ranks of the gradients of `passes` passes of each.
std::vector<at::Tensor> SumOfRanks(int ranks, int passes) {
  std::vector<at::Tensor> sum = {at::zeros({4, 3}), at::zeros({4})};
  for (int rank = 0; rank < ranks; ++rank) {
    Net net;
    net.Loss(InputOf(rank)).backward();
    const auto gradients = GradientsOf(net);
    for (size_t i = 0; i < gradients.size(); ++i) sum[i] += gradients[i] * passes;
  }
  return sum;
}

void ExpectSum(Net& net, const std::vector<at::Tensor>& want) {
  const auto got = GradientsOf(net);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(at::allclose(got[i], want[i])) << got[i];
}

TEST(GradientExchange, LeavesTheSumOfTheRanksGradientsOnEachRank) {
  for (const int ranks : {2, 4}) {
    RunAsRanks(ranks, [&](Group& group) {
      Net net;
      std::vector<GradientPlace> places;
      const at::Tensor flat = Flatten(net, places);
      const auto exchange = MakeGradientExchange(flat, places, group);
      ASSERT_TRUE(exchange.ok()) << exchange.status();
      for (int pass = 0; pass < 3; ++pass) {
        flat.zero_();
        const at::Tensor loss = net.Loss(InputOf(group.rank()));
        (*exchange)->Arm();
        loss.backward();
        ASSERT_TRUE((*exchange)->Finish().ok());
        ExpectSum(net, SumOfRanks(ranks, 1));
      }
    });
  }
}

TEST(GradientExchange, AccumulatesWithoutExchangeUntilArmed) {
  RunAsRanks(2, [](Group& group) {
    Net net;
    std::vector<GradientPlace> places;
    const at::Tensor flat = Flatten(net, places);
    const auto exchange = MakeGradientExchange(flat, places, group);
    ASSERT_TRUE(exchange.ok()) << exchange.status();
    Net alone;
    alone.Loss(InputOf(group.rank())).backward();
    net.Loss(InputOf(group.rank())).backward();
    EXPECT_TRUE(at::allclose(net.first.grad(), alone.first.grad())) << "exchanged unasked";
    (*exchange)->Arm();
    net.Loss(InputOf(group.rank())).backward();
    ASSERT_TRUE((*exchange)->Finish().ok());
    ExpectSum(net, SumOfRanks(2, 2));
  });
}

// Rank 1's pass ends with an exception, before it began or half-way: nobody waits for ever, and the
// next pass is right.
TEST(GradientExchange, ARankWhosePassFailedStillTakesPart) {
  for (const bool halfway : {false, true}) {
    RunAsRanks(2, [&](Group& group) {
      Net net;
      std::vector<GradientPlace> places;
      const at::Tensor flat = Flatten(net, places);
      const auto exchange = MakeGradientExchange(flat, places, group);
      ASSERT_TRUE(exchange.ok()) << exchange.status();
      (*exchange)->Arm();
      const at::Tensor loss = net.Loss(InputOf(group.rank()));
      if (group.rank() == 0) {
        loss.backward();
      } else if (halfway) {
        const auto hook = net.first.register_hook(
            [](const at::Tensor&) -> at::Tensor { throw std::runtime_error("no memory"); });
        EXPECT_THROW(loss.backward(), std::runtime_error);
        net.first.remove_hook(hook);
      }
      ASSERT_TRUE((*exchange)->Finish().ok());
      flat.zero_();
      (*exchange)->Arm();
      net.Loss(InputOf(group.rank())).backward();
      ASSERT_TRUE((*exchange)->Finish().ok());
      ExpectSum(net, SumOfRanks(2, 1));
    });
  }
}

TEST(GradientExchange, OfOneRankDoesNothing) {
  Net net;
  std::vector<GradientPlace> places;
  const at::Tensor flat = Flatten(net, places);
  const auto exchange = MakeGradientExchange(flat, places, **MakeGroup({}));
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  (*exchange)->Arm();
  net.Loss(InputOf(0)).backward();
  EXPECT_TRUE((*exchange)->Finish().ok());
  ExpectSum(net, SumOfRanks(1, 1));
}

}  // namespace
}  // namespace yoke::engine

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--join") == 0) {
    const auto group = yoke::engine::MakeGroup(
        {.rank = 1, .world_size = 2, .store_path = argv[2], .timeout_seconds = 30});
    at::Tensor tensor = at::ones({1000});
    if (!group.ok() || !(*group)->AllReduceSum(tensor).ok()) return 1;
    alarm(60);  // the test is gone
    pause();
    return 0;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
