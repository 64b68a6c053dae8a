#include "server/engine/export/onnx_graph.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"

namespace yoke::engine::onnx {

void GraphBuilder::Define(const Value& value) {
  YOKE_CHECK_MSG(!value.empty() && defined_.insert(value).second, value + " is defined twice");
}

Value GraphBuilder::Input(const std::string& name, std::vector<Dimension> shape) {
  Define(name);
  graph_.inputs.push_back({name, ElementType::kFloat, std::move(shape)});
  return name;
}

void GraphBuilder::Output(const Value& value, std::vector<Dimension> shape) {
  YOKE_CHECK_MSG(defined_.contains(value), value + " is not defined");
  graph_.outputs.push_back({value, ElementType::kFloat, std::move(shape)});
}

Value GraphBuilder::Constant(Tensor tensor) {
  Define(tensor.name);
  graph_.initializers.push_back(std::move(tensor));
  return graph_.initializers.back().name;
}

Value GraphBuilder::ConstantOnce(Tensor tensor) {
  return defined_.contains(tensor.name) ? tensor.name : Constant(std::move(tensor));
}

Value GraphBuilder::Ints(const std::vector<int64_t>& values) {
  return ConstantOnce(Int64Tensor("ints." + absl::StrJoin(values, "."),
                                  {static_cast<int64_t>(values.size())}, values));
}

Value GraphBuilder::Int(int64_t value) {
  return ConstantOnce(Int64Tensor(absl::StrCat("int.", value), {}, {value}));
}

Value GraphBuilder::Float(float value) {
  return ConstantOnce(FloatTensor(absl::StrFormat("float.%.9g", value), {}, {value}));
}

Value GraphBuilder::Call(const std::string& op_type, const std::string& name,
                         std::vector<Value> inputs, std::vector<Attribute> attributes) {
  for (const Value& input : inputs) {
    YOKE_CHECK_MSG(input.empty() || defined_.contains(input), name + " reads " + input);
  }
  Define(name);
  graph_.nodes.push_back({name, op_type, std::move(inputs), {name}, std::move(attributes)});
  return name;
}

std::vector<Value> GraphBuilder::CallMany(const std::string& op_type, const std::string& name,
                                          std::vector<Value> inputs,
                                          std::vector<Attribute> attributes, int outputs) {
  Call(op_type, name, std::move(inputs), std::move(attributes));
  std::vector<Value>& results = graph_.nodes.back().outputs;
  defined_.erase(name);
  results.clear();
  for (int i = 0; i < outputs; ++i) {
    results.push_back(absl::StrCat(name, ".", i));
    Define(results.back());
  }
  return results;
}

Graph GraphBuilder::Finish(const std::string& name) && {
  graph_.name = name;
  return std::move(graph_);
}

}  // namespace yoke::engine::onnx
