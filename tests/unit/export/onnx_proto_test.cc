// The wire format, byte by byte. That whole models are what protobuf itself would write is checked
// with the onnx package: tests/numerics/exported_test.py.
#include "server/engine/export/onnx_proto.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::engine::onnx {
namespace {

using ::testing::HasSubstr;

std::string Bytes(std::initializer_list<int> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

Model Tiny() {
  Model model;
  model.opset = 17;
  model.producer_name = "p";
  model.producer_version = "1";
  model.metadata = {{"k", "v"}};
  model.graph.name = "g";
  model.graph.nodes = {{"y", "Concat", {"x", "w"}, {"y"}, {{"axis", int64_t{-1}}}}};
  model.graph.initializers = {FloatTensor("w", {1}, {1.5f})};
  model.graph.inputs = {{"x", ElementType::kFloat, {"n"}}};
  model.graph.outputs = {{"y", ElementType::kFloat, {int64_t{300}}}};
  return model;
}

std::string Message(const Model& model) {
  const absl::StatusOr<absl::Cord> encoded = Encode(model);
  EXPECT_FALSE(encoded.ok());
  return std::string(encoded.status().message());
}

TEST(OnnxProto, ATinyModelHasTheBytesOfTheSpecification) {
  const std::string node = Bytes({0x0a, 1,    'x',  0x0a, 1,    'w',              // input
                                  0x12, 1,    'y',                                // output
                                  0x1a, 1,    'y',                                // name
                                  0x22, 6,    'C',  'o',  'n',  'c',  'a',  't',  // op_type
                                  0x2a, 20,   0x0a, 4,    'a',  'x',  'i',  's',  // attribute
                                  0x18, 0xff, 0xff, 0xff, 0xff, 0xff,             // i: -1
                                  0xff, 0xff, 0xff, 0xff, 0x01, 0xa0, 0x01, 2});  // type: INT
  const std::string weight = Bytes({0x08, 1, 0x10, 1,                             // dims, FLOAT
                                    0x42, 1, 'w', 0x4a, 4, 0, 0, 0xc0, 0x3f});    // raw_data
  const std::string input = Bytes({0x0a, 1, 'x', 0x12, 11, 0x0a, 9, 0x08, 1,      // FLOAT
                                   0x12, 5, 0x0a, 3, 0x12, 1, 'n'});              // dim_param
  const std::string output = Bytes({0x0a, 1, 'y', 0x12, 11, 0x0a, 9, 0x08, 1,     // FLOAT
                                    0x12, 5, 0x0a, 3, 0x08, 0xac, 0x02});         // dim_value
  ASSERT_EQ(node.size(), 42u);
  const std::string expected =
      Bytes({0x08, 8, 0x12, 1, 'p', 0x1a, 1, '1', 0x3a, 98}) +  // IR 8; graph
      Bytes({0x0a, 42}) + node + Bytes({0x12, 1, 'g', 0x2a, 13}) + weight + Bytes({0x5a, 16}) +
      input + Bytes({0x62, 16}) + output + Bytes({0x42, 4, 0x0a, 0, 0x10, 17}) +  // opset_import
      Bytes({0x72, 6, 0x0a, 1, 'k', 0x12, 1, 'v'});                               // metadata_props
  const absl::StatusOr<absl::Cord> encoded = Encode(Tiny());
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ(std::string(*encoded), expected);
}

TEST(OnnxProto, EveryKindOfAttributeHasItsFieldAndType) {
  const auto attribute = [](Attribute::Value value) {
    Model model = Tiny();
    model.graph.nodes[0].attributes = {{"a", std::move(value)}};
    return std::string(*Encode(model));
  };
  const std::string name = Bytes({0x0a, 1, 'a'});
  EXPECT_THAT(attribute(int64_t{0}), HasSubstr(name + Bytes({0x18, 0, 0xa0, 0x01, 2})));
  EXPECT_THAT(attribute(std::string("ab")),
              HasSubstr(name + Bytes({0x22, 2, 'a', 'b', 0xa0, 0x01, 3})));
  EXPECT_THAT(attribute(std::vector<int64_t>{1, 300}),
              HasSubstr(name + Bytes({0x40, 1, 0x40, 0xac, 0x02, 0xa0, 0x01, 7})));
}

TEST(OnnxProto, ATensorWhoseBytesDoNotFitItsShapeIsNamed) {
  for (const std::vector<int64_t>& dims :
       {std::vector<int64_t>{2}, {-1}, {-1, -1}, {}, {0}, {int64_t{1} << 62, 4}}) {
    Model model = Tiny();
    model.graph.initializers[0].dims = dims;
    model.graph.initializers[0].data = absl::Cord("1234567");
    EXPECT_THAT(Message(model), HasSubstr("tensor w of shape ["));
  }
}

TEST(OnnxProto, MoreThanOneMessageHoldsIsRefused) {
  // The same megabyte many times over: a Cord shares it.
  const absl::Cord megabyte(std::string(1 << 20, 'x'));
  Model model = Tiny();
  Tensor& tensor = model.graph.initializers[0];
  tensor.dims = {2047, 1 << 18};
  tensor.data.Clear();
  for (int i = 0; i < 2047; ++i) tensor.data.Append(megabyte);
  EXPECT_TRUE(Encode(model).ok());
  tensor.dims[0] = 2048;
  tensor.data.Append(megabyte);
  EXPECT_THAT(Message(model), HasSubstr("2 GiB"));
}

TEST(OnnxProto, TheFormatIsAsOldAsTheOperators) {
  const int expected[] = {7, 7, 8, 8, 8, 8, 9, 9, 10, 10};
  for (int opset = kOpsetMin; opset <= kOpsetMax; ++opset)
    EXPECT_EQ(IrVersionOf(opset), expected[opset - kOpsetMin]) << opset;
}

}  // namespace
}  // namespace yoke::engine::onnx
