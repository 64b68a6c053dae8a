// Builds an ONNX graph node by node. A value is a name; each is defined once and before it is read,
// which is checked: a mistake there is the caller's, never the user's, and aborts.
//   GraphBuilder g;
//   g.Input("x", {1, 3});
//   g.Output(g.Call("Relu", "y", {"x"}), {1, 3});
//   onnx::Graph graph = std::move(g).Finish("tiny");
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "server/engine/export/onnx_proto.h"

namespace yoke::engine::onnx {

using Value = std::string;

class GraphBuilder {
 public:
  // A float32 input of the graph.
  Value Input(const std::string& name, std::vector<Dimension> shape);
  // Makes `value`, a float32 tensor, an output of the graph.
  void Output(const Value& value, std::vector<Dimension> shape);

  // A tensor stored with the graph.
  Value Constant(Tensor tensor);
  // Small constants, stored once for all who ask.
  Value Ints(const std::vector<int64_t>& values);  // int64, (n)
  Value Int(int64_t value);                        // int64, scalar
  Value Float(float value);                        // scalar

  // A node of this operator; the node and its result are both called `name`.
  Value Call(const std::string& op_type, const std::string& name, std::vector<Value> inputs,
             std::vector<Attribute> attributes = {});
  // The same with several results: NAME.0, NAME.1 ...
  std::vector<Value> CallMany(const std::string& op_type, const std::string& name,
                              std::vector<Value> inputs, std::vector<Attribute> attributes,
                              int outputs);

  Graph Finish(const std::string& name) &&;

 private:
  void Define(const Value& value);
  Value ConstantOnce(Tensor tensor);

  Graph graph_;
  std::set<Value> defined_;
};

}  // namespace yoke::engine::onnx
