#include "server/engine/distributed/gradient_reducer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/engine/distributed/c10d_group.h"
#include "torch/csrc/distributed/c10d/reducer.hpp"

namespace yoke::engine {
namespace {

// Gradients become ready from the last layer to the first; a small first bucket starts the exchange early.
constexpr int64_t kFirstBucketBytes = 1 << 20, kBucketBytes = 8 << 20;

class NoReducer : public GradientReducer {
 public:
  absl::Status Prepare(const at::Tensor&) override { return absl::OkStatus(); }
};

class C10dReducer : public GradientReducer {
 public:
  C10dReducer(const std::vector<at::Tensor>& parameters, const C10dGroup& group) {
    const std::vector<size_t> limits = {kFirstBucketBytes, kBucketBytes};
    auto [buckets, bucket_limits] = c10d::compute_bucket_assignment_by_size(parameters, limits);
    std::reverse(buckets.begin(), buckets.end());
    reducer_ = std::make_unique<c10d::Reducer>(parameters, std::move(buckets), group.process_group(), std::vector<bool>(parameters.size(), false), kBucketBytes,
                                               /*find_unused_parameters=*/false, /*gradient_as_bucket_view=*/true, std::unordered_map<size_t, std::string>(),
                                               kFirstBucketBytes, /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false,
                                               std::vector<int64_t>());
  }
  absl::Status Prepare(const at::Tensor& loss) override {
    try {
      reducer_->prepare_for_backward({loss});
    } catch (const std::exception& error) {
      return absl::UnavailableError(absl::StrCat("averaging gradients with the other ranks failed: ", error.what()));
    }
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<c10d::Reducer> reducer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GradientReducer>> MakeGradientReducer(const std::vector<at::Tensor>& parameters, Group& group) {
  auto* c10d_group = dynamic_cast<C10dGroup*>(&group);
  if (c10d_group == nullptr) return std::make_unique<NoReducer>();
  try {
    return std::make_unique<C10dReducer>(parameters, *c10d_group);
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("cannot set up the averaging of gradients: ", error.what()));
  }
}

}  // namespace yoke::engine
