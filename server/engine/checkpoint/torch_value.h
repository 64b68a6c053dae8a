// A tree of Python values as `torch.save` pickles them, to be written to a .pt file.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "absl/status/status.h"

namespace yoke::engine {

class TorchValue {
 public:
  enum class Kind {
    kNone,
    kBool,
    kInteger,
    kFloat,
    kText,
    kTensor,
    kParameter,  // torch.nn.Parameter without gradient
    kList,
    kTuple,
    kDict,
    kOrderedDict,
    kSet,     // always empty
    kObject,  // an instance of a class, made without calling it; its state is a dict
  };
  using Entries = std::vector<std::pair<TorchValue, TorchValue>>;

  TorchValue() = default;  // None
  TorchValue(bool value) : kind_(Kind::kBool), integer_(value) {}
  TorchValue(int value) : kind_(Kind::kInteger), integer_(value) {}
  TorchValue(int64_t value) : kind_(Kind::kInteger), integer_(value) {}
  TorchValue(double value) : kind_(Kind::kFloat), real_(value) {}
  TorchValue(const char* value) : kind_(Kind::kText), text_(value) {}
  TorchValue(std::string value) : kind_(Kind::kText), text_(std::move(value)) {}
  TorchValue(at::Tensor value) : kind_(Kind::kTensor), tensor_(std::move(value)) {}

  static TorchValue Parameter(at::Tensor value);
  static TorchValue List(std::vector<TorchValue> items);
  static TorchValue Tuple(std::vector<TorchValue> items);
  static TorchValue Dict(Entries entries);
  static TorchValue OrderedDict(Entries entries);
  static TorchValue EmptySet();
  // `class_name`: "torch.nn.modules.conv.Conv2d".
  static TorchValue Object(std::string class_name, Entries state);

  Kind kind() const { return kind_; }
  int64_t integer() const { return integer_; }
  double real() const { return real_; }
  const std::string& text() const { return text_; }  // of an object: its class
  const at::Tensor& tensor() const { return tensor_; }
  const std::vector<TorchValue>& items() const { return items_; }
  const Entries& entries() const { return entries_; }
  Entries& entries() { return entries_; }

 private:
  Kind kind_ = Kind::kNone;
  int64_t integer_ = 0;
  double real_ = 0;
  std::string text_;
  at::Tensor tensor_;
  std::vector<TorchValue> items_;
  Entries entries_;
};

// Writes `root` as torch.load reads it: a stored zip of one pickle (protocol 2) and the tensors'
// bytes. Floating tensors keep half and float, others become int64 or float.
// Atomic: temp in the same folder, fsync, rename, fsync of the folder. ResourceExhausted: disk
// full.
absl::Status WriteTorchFile(const std::string& path, const TorchValue& root);

}  // namespace yoke::engine
