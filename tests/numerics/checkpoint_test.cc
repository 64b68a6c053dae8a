// Checkpoints that the reference wrote, version by version: the pickle is the recorded one, the
// storages hold the numbers of make_checkpoint_goldens.py's `fill`, and what is read must equal
// what the reference itself loads, bit for bit.
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"
#include "common/formats/zip_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/checkpoint/torch_archive.h"
#include "server/engine/checkpoint/weights.h"
#include "tests/numerics/golden_file.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/formats/archive_builder.h"

namespace yoke::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Entry {
  std::string shape, crc;
};
struct Recorded {
  std::string pickle;
  std::vector<std::pair<std::string, std::string>> storages;  // name in the archive, bytes
  std::vector<std::string> names;
  std::map<std::string, Entry> entries;
};

std::string Gunzip(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  YOKE_CHECK_MSG(file != nullptr, path);
  std::string text;
  char chunk[65536];
  for (int got = 0; (got = gzread(file, chunk, sizeof chunk)) > 0;) text.append(chunk, got);
  gzclose(file);
  return text;
}

std::string Fill(int key, const std::string& kind, int64_t count) {
  static const std::map<std::string, at::ScalarType> kTypes = {
      {"HalfStorage", at::kHalf},         {"FloatStorage", at::kFloat},
      {"DoubleStorage", at::kDouble},     {"LongStorage", at::kLong},
      {"BFloat16Storage", at::kBFloat16}, {"IntStorage", at::kInt}};
  const at::ScalarType type = kTypes.at(kind);
  const at::Tensor u = RecordedUniform(key + 1, count);
  const at::Tensor values =
      at::isFloatingType(type) ? (u - 0.5).to(type) : (u * 1000).floor().to(type);
  return std::string(static_cast<const char*>(values.data_ptr()), values.nbytes());
}

Recorded Load(const std::string& name) {
  Recorded recorded;
  recorded.pickle = Gunzip(GoldenPath("checkpoints/" + name + ".pkl.gz"));
  std::ifstream file(GoldenPath("checkpoints/" + name + ".txt"));
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words[0] == "storage") {
      int key = 0;
      int64_t count = 0;
      YOKE_CHECK(absl::SimpleAtoi(words[1], &key) && absl::SimpleAtoi(words[3], &count));
      recorded.storages.emplace_back("data/" + words[1], Fill(key, words[2], count));
    } else if (words[0] == "name") {
      recorded.names.push_back(absl::StrJoin(words.begin() + 2, words.end(), " "));
    } else if (words[0] == "entry") {
      recorded.entries[words[1]] = {words[2], words[3]};
    }
  }
  return recorded;
}

std::string ShapeOf(const at::Tensor& tensor) {
  return tensor.dim() == 0 ? "scalar" : absl::StrJoin(tensor.sizes(), "x");
}

std::string CrcOf(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.contiguous();
  const absl::Span<const uint8_t> bytes(static_cast<const uint8_t*>(plain.data_ptr()),
                                        plain.nbytes());
  return absl::StrCat(absl::Hex(formats::Crc32(bytes), absl::kZeroPad8));
}

// What the versions put beside pickle and storages; the root folder's name changed, too.
struct Layout {
  const char* root = "archive";
  std::vector<std::pair<std::string, std::string>> more = {{"version", "3\n"}};
  bool zip64 = false;
};
const Layout kOld = {}, kNew = {"best",
                                {{".format_version", "1"},
                                 {".storage_alignment", "64"},
                                 {"byteorder", "little"},
                                 {"version", "3\n"},
                                 {".data/serialization_id", "0123456789"}},
                                true};

class Checkpoint : public ::testing::TestWithParam<std::string> {
 protected:
  std::string Write(const Recorded& recorded, const Layout& layout) const {
    std::vector<std::pair<std::string, std::string>> entries;
    const std::string root = absl::StrCat(layout.root, "/");
    entries.emplace_back(root + "data.pkl", recorded.pickle);
    for (const auto& [name, bytes] : layout.more) entries.emplace_back(root + name, bytes);
    for (const auto& [name, bytes] : recorded.storages) entries.emplace_back(root + name, bytes);
    const std::string path = folder_.path() + "/x.pt";
    std::ofstream(path, std::ios::binary) << formats::BuildZip(entries, {.zip64 = layout.zip64});
    return path;
  }

  TempFolder folder_;
};

TEST_P(Checkpoint, IsReadAsTheReferenceLoadsIt) {
  const Recorded recorded = Load(GetParam());
  ASSERT_EQ(recorded.entries.size(), 355u);
  for (const Layout& layout : {kOld, kNew}) {
    const auto weights = ReadWeights(Write(recorded, layout));
    ASSERT_TRUE(weights.ok()) << weights.status();
    ASSERT_EQ(weights->state.size(), recorded.entries.size());
    for (const auto& [name, entry] : recorded.entries) {
      const at::Tensor& tensor = weights->state.at(name);
      EXPECT_EQ(ShapeOf(tensor), entry.shape) << name;
      EXPECT_EQ(CrcOf(tensor), entry.crc) << name;
    }
    if (recorded.names.empty()) {
      EXPECT_THAT(weights->names, ElementsAre("class0", "class1", "class2"));
    } else {
      EXPECT_EQ(weights->names, recorded.names);
    }
    // Whole: everything that a network of this description has.
    auto model = *DetectionModel::Create(weights->spec);
    EXPECT_EQ(Transfer(*weights, *model).copied, 355);
  }
}

std::string Plain(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

std::vector<std::string> Recordings(bool refused) {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(GoldenPath("checkpoints"))) {
    std::string name = file.path().filename().string();
    if (!absl::EndsWith(name, ".pkl.gz")) continue;
    name.resize(name.size() - 7);
    if (absl::StartsWith(name, "refused_") == refused) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}
INSTANTIATE_TEST_SUITE_P(Reference, Checkpoint, ::testing::ValuesIn(Recordings(false)), Plain);

using OtherCheckpoint = Checkpoint;
TEST_P(OtherCheckpoint, IsRefusedByWhatItIs) {
  static const std::map<std::string, std::string> kReasons = {
      {"refused_fused", "a model that was fused before it was saved"},
      {"refused_fused_state_dict", "folded into the convolutions"},
      {"refused_yolo11n", "another family (yolo11n.yaml)"},
      {"refused_yolov5n", "another family (yolov5n.yaml)"},
      {"refused_yolov8n-seg", "a segmentation model"},
      {"refused_yolov8n-ghost", "another family (yolov8n-ghost.yaml)"},
      {"refused_yolov8n-p2", "another family (yolov8n-p2.yaml)"}};
  Recorded recorded = Load(GetParam());
  const auto weights = ReadWeights(Write(recorded, kOld));
  ASSERT_FALSE(weights.ok());
  EXPECT_THAT(std::string(weights.status().message()), HasSubstr(kReasons.at(GetParam())));
}
INSTANTIATE_TEST_SUITE_P(Reference, OtherCheckpoint, ::testing::ValuesIn(Recordings(true)), Plain);

// What Yoke writes has the keys of the reference's last version, in its order, and settings of the
// same kinds.
TEST(OurCheckpoint, HasTheKeysOfTheReferences) {
  using Kind = formats::PickleNode::Kind;
  TempFolder folder;
  const std::string path = folder.path() + "/w.pt";
  auto model = *DetectionModel::Create({'n', 1});
  Weights weights{.spec = model->spec(), .names = {"cat"}};
  for (auto& item : model->named_parameters()) weights.state[item.key()] = item.value().detach();
  for (auto& item : model->named_buffers()) weights.state[item.key()] = item.value();
  ASSERT_TRUE(WriteWeights(path, weights).ok());
  const auto ours = TorchArchive::Open(path);
  ASSERT_TRUE(ours.ok()) << ours.status();
  const std::string pickle = Load("8.4.190_final").pickle;
  const auto theirs = formats::Unpickle(formats::AsBytes(pickle));
  ASSERT_TRUE(theirs.ok()) << theirs.status();

  const auto keys = [](const formats::PickleNode& dict) {
    std::vector<std::string> names;
    for (const auto& [key, value] : dict.entries) names.push_back(key->text);
    return names;
  };
  const formats::PickleNode& root = (*ours)->file().root();
  EXPECT_EQ(keys(root), keys(theirs->root()));
  const formats::PickleNode &args = *root.Find("train_args"),
                            &their_args = *theirs->root().Find("train_args");
  EXPECT_EQ(keys(args), keys(their_args));
  for (const auto& [key, value] : their_args.entries) {
    const Kind kind = args.Find(key->text)->kind;
    // None: not set here, or not set there.
    EXPECT_TRUE(kind == value->kind || kind == Kind::kNone || value->kind == Kind::kNone)
        << key->text;
  }
}

}  // namespace
}  // namespace yoke::engine
