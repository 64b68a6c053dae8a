#include "server/engine/export/onnx_graph.h"

#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::engine::onnx {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST(GraphBuilder, NamesNodesAndTheirResults) {
  GraphBuilder g;
  const Value x = g.Input("x", {"batch", int64_t{4}});
  const std::vector<Value> halves = g.CallMany("Split", "split", {x, g.Ints({2, 2})}, {}, 2);
  EXPECT_THAT(halves, ElementsAre("split.0", "split.1"));
  g.Output(g.Call("Add", "sum", {halves[0], halves[1]}), {"batch", int64_t{2}});
  const Graph graph = std::move(g).Finish("halves");
  EXPECT_EQ(graph.name, "halves");
  ASSERT_EQ(graph.nodes.size(), 2u);
  EXPECT_EQ(graph.nodes[0].name, "split");
  EXPECT_THAT(graph.nodes[0].inputs, ElementsAre("x", "ints.2.2"));
  EXPECT_THAT(graph.nodes[0].outputs, ElementsAre("split.0", "split.1"));
  EXPECT_THAT(graph.nodes[1].outputs, ElementsAre("sum"));
  EXPECT_EQ(graph.outputs[0].name, "sum");
}

TEST(GraphBuilder, StoresAConstantOnceForAllWhoAsk) {
  GraphBuilder g;
  EXPECT_EQ(g.Ints({0, -1}), g.Ints({0, -1}));
  EXPECT_EQ(g.Float(0.5f), g.Float(0.5f));
  EXPECT_NE(g.Float(0.5f), g.Float(0.50000006f));  // the next one
  EXPECT_NE(g.Ints({5}), g.Int(5));                // one has a dimension, the other has none
  std::map<std::string, std::vector<int64_t>> dims;
  for (const Tensor& tensor : std::move(g).Finish("constants").initializers)
    dims[tensor.name] = tensor.dims;
  EXPECT_THAT(dims, SizeIs(5));
  EXPECT_THAT(dims["ints.0.-1"], ElementsAre(2));
  EXPECT_THAT(dims["ints.5"], ElementsAre(1));
  EXPECT_THAT(dims["int.5"], ElementsAre());
}

TEST(GraphBuilderDeathTest, AValueIsDefinedOnceAndBeforeItIsRead) {
  GraphBuilder g;
  g.Input("x", {int64_t{1}});
  EXPECT_DEATH(g.Call("Relu", "y", {"z"}), "y reads z");
  EXPECT_DEATH(g.Call("Relu", "x", {"x"}), "x is defined twice");
  EXPECT_DEATH(g.Output("z", {}), "z is not defined");
}

}  // namespace
}  // namespace yoke::engine::onnx
