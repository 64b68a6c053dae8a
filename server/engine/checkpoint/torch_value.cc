#include "server/engine/checkpoint/torch_value.h"

namespace yoke::engine {

TorchValue TorchValue::Parameter(at::Tensor value) {
  TorchValue made(std::move(value));
  made.kind_ = Kind::kParameter;
  return made;
}

TorchValue TorchValue::List(std::vector<TorchValue> items) {
  TorchValue made;
  made.kind_ = Kind::kList;
  made.items_ = std::move(items);
  return made;
}

TorchValue TorchValue::Tuple(std::vector<TorchValue> items) {
  TorchValue made = List(std::move(items));
  made.kind_ = Kind::kTuple;
  return made;
}

TorchValue TorchValue::Dict(Entries entries) {
  TorchValue made;
  made.kind_ = Kind::kDict;
  made.entries_ = std::move(entries);
  return made;
}

TorchValue TorchValue::OrderedDict(Entries entries) {
  TorchValue made = Dict(std::move(entries));
  made.kind_ = Kind::kOrderedDict;
  return made;
}

TorchValue TorchValue::EmptySet() {
  TorchValue made;
  made.kind_ = Kind::kSet;
  return made;
}

TorchValue TorchValue::Object(std::string class_name, Entries state) {
  TorchValue made = Dict(std::move(state));
  made.kind_ = Kind::kObject;
  made.text_ = std::move(class_name);
  return made;
}

}  // namespace yoke::engine
