#include "server/engine/distributed/gradient_exchange.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/engine/distributed/c10d_group.h"
#include "torch/csrc/autograd/functions/accumulate_grad.h"
#include "torch/csrc/autograd/utils/lambda_post_hook.h"
#include "torch/csrc/autograd/variable.h"

namespace yoke::engine {
namespace {

// A piece begins as soon as it has this many values; the last one takes what is left.
constexpr int64_t kPieceValues = 1 << 20;

class NoExchange : public GradientExchange {
 public:
  void Arm() override {}
  absl::Status Finish() override { return absl::OkStatus(); }
};

class PiecewiseExchange : public GradientExchange {
 public:
  PiecewiseExchange(const at::Tensor& gradients, const std::vector<GradientPlace>& places,
                    const C10dGroup& group)
      : process_group_(group.process_group()) {
    int64_t begin = 0;
    for (size_t i = 0; i < places.size(); ++i) {
      const bool last = i + 1 == places.size();
      const int64_t end = last ? gradients.size(0) : places[i + 1].offset;
      if (pieces_.empty() || pieces_.back().values.defined()) pieces_.push_back({});
      ++pieces_.back().parameters;
      Watch(places[i].parameter, pieces_.size() - 1);
      if (last || end - begin >= kPieceValues) {
        pieces_.back().values = gradients.narrow(0, begin, end - begin);
        begin = end;
      }
    }
  }

  ~PiecewiseExchange() override {
    for (auto& [node, hook] : hooks_) node->del_post_hook(hook);
  }

  void Arm() override {
    for (Piece& piece : pieces_) piece.missing = piece.parameters;
    next_ = 0;
    works_.clear();
    armed_ = true;
  }

  absl::Status Finish() override {
    armed_ = false;
    try {
      while (next_ < pieces_.size()) Begin(pieces_[next_++]);
      for (const auto& work : works_) work->wait();
    } catch (const std::exception& error) {
      const std::string what = error.what();
      return absl::UnavailableError(absl::StrCat(
          "adding up gradients with the other ranks failed: ", what.substr(0, what.find('\n'))));
    }
    works_.clear();
    return absl::OkStatus();
  }

 private:
  struct Piece {
    at::Tensor values;
    int64_t parameters = 0;
    int64_t missing = 0;  // parameters of it without a gradient yet
  };

  void Watch(const at::Tensor& parameter, size_t piece) {
    std::shared_ptr<torch::autograd::Node> node =
        torch::autograd::impl::grad_accumulator(parameter);
    auto hook = std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [this, piece](const torch::autograd::variable_list& outputs,
                      const torch::autograd::variable_list&) {
          if (armed_) Ready(pieces_[piece]);
          return outputs;
        },
        [](torch::autograd::CompiledNodeArgs&) {});
    hooks_.emplace_back(node, node->add_post_hook(std::move(hook)));
  }

  // Pieces begin in order, the same on all ranks, whatever order they are ready in.
  void Ready(Piece& piece) {
    --piece.missing;
    while (next_ < pieces_.size() && pieces_[next_].missing <= 0) Begin(pieces_[next_++]);
  }

  void Begin(Piece& piece) {
    std::vector<at::Tensor> tensors = {piece.values};
    works_.push_back(process_group_->allreduce(tensors));
  }

  const c10::intrusive_ptr<c10d::ProcessGroup> process_group_;
  std::vector<Piece> pieces_;
  // The nodes are kept: a parameter's accumulator lives only as long as somebody holds it.
  std::vector<std::pair<std::shared_ptr<torch::autograd::Node>, uintptr_t>> hooks_;
  std::vector<c10::intrusive_ptr<c10d::Work>> works_;
  size_t next_ = 0;
  bool armed_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GradientExchange>> MakeGradientExchange(
    const at::Tensor& gradients, const std::vector<GradientPlace>& places, Group& group) {
  auto* c10d_group = dynamic_cast<C10dGroup*>(&group);
  if (c10d_group == nullptr) return std::make_unique<NoExchange>();
  try {
    return std::make_unique<PiecewiseExchange>(gradients, places, *c10d_group);
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("cannot set up the exchange of gradients: ", error.what()));
  }
}

}  // namespace yoke::engine
