// Two passes over the text. The first looks at the YAML's events only, refuses what could hurt
// (depth, aliases) or mislead (duplicate keys); the second reads the few keys that matter.
#include "common/formats/data_yaml.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/printable.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

namespace yoke::formats {
namespace {

constexpr size_t kDepthMax = 32;
constexpr int64_t kClassesMax = 100'000;

// Thrown out of yaml-cpp's event handler and caught in CheckShape.
struct Refusal {
  YAML::Mark mark;
  std::string what;
};

class ShapeChecker : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { Value(mark, anchor, ""); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refusal{mark, "anchors and aliases are not supported; write the value out"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string& value) override {
    Value(mark, anchor, value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, anchor, false);
  }
  void OnSequenceEnd() override { levels_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, anchor, true);
  }
  void OnMapEnd() override { levels_.pop_back(); }

 private:
  struct Level {
    bool map = false, key_next = true;
    std::set<std::string> keys;
  };

  // Returns true if this value is a key of the map it is in.
  bool Step() {
    if (levels_.empty() || !levels_.back().map) return false;
    const bool key = levels_.back().key_next;
    levels_.back().key_next = !key;
    return key;
  }
  void Value(const YAML::Mark& mark, YAML::anchor_t anchor, const std::string& value) {
    if (anchor != 0) OnAlias(mark, anchor);
    if (Step() && !levels_.back().keys.insert(value).second) {
      throw Refusal{mark,
                    absl::StrCat("the key '", Printable(value), "' is there twice; keep one")};
    }
  }
  void Open(const YAML::Mark& mark, YAML::anchor_t anchor, bool map) {
    if (anchor != 0) OnAlias(mark, anchor);
    if (Step()) throw Refusal{mark, "a list or map as a key"};
    if (levels_.size() >= kDepthMax)
      throw Refusal{mark, absl::StrCat("nested deeper than ", kDepthMax, " levels")};
    levels_.push_back({.map = map});
  }

  std::vector<Level> levels_;
};

absl::Status At(const std::string& path, const YAML::Mark& mark, const std::string& what) {
  if (mark.is_null()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
  return absl::InvalidArgumentError(absl::StrCat(path, ":", mark.line + 1, ": ", what));
}

absl::Status CheckShape(const std::string& path, const std::string& text) {
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    ShapeChecker checker;
    if (!parser.HandleNextDocument(checker))
      return absl::InvalidArgumentError(absl::StrCat(path, ": empty YAML"));
  } catch (const Refusal& refusal) {
    return At(path, refusal.mark, refusal.what);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ReadClassNames(const std::string& path,
                                                        const YAML::Node& node) {
  if (!node.IsDefined() || node.IsNull()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path,
                     ": no names; add the class names, as a list (names: [cat, dog]) or by id "
                     "(names: {0: cat})"));
  }
  std::vector<std::string> names;
  if (node.IsSequence()) {
    for (const auto& item : node) {
      if (!item.IsScalar()) return At(path, item.Mark(), "a class name that is no text");
      names.push_back(item.Scalar());
    }
  } else if (node.IsMap()) {
    const auto count = static_cast<int64_t>(node.size());
    names.resize(static_cast<size_t>(std::min(count, kClassesMax)));
    std::vector<bool> filled(names.size());
    for (const auto& item : node) {
      int64_t id = 0;
      if (!absl::SimpleAtoi(item.first.Scalar(), &id) || !item.second.IsScalar()) {
        return At(path, item.first.Mark(),
                  absl::StrCat("names: '", Printable(item.first.Scalar()), "' is no class id"));
      }
      if (id < 0 || id >= static_cast<int64_t>(names.size()) || filled[static_cast<size_t>(id)]) {
        return At(path, item.first.Mark(),
                  absl::StrCat("names: class id ", id, ", but ", count, " names need the ids 0 to ",
                               count - 1, ", each once"));
      }
      filled[static_cast<size_t>(id)] = true;
      names[static_cast<size_t>(id)] = item.second.Scalar();
    }
  } else {
    return At(path, node.Mark(), "names must be a list or a map from id to name");
  }
  if (names.empty()) return At(path, node.Mark(), "names is empty; name at least one class");
  if (static_cast<int64_t>(names.size()) > kClassesMax) {
    return At(path, node.Mark(), absl::StrCat("more than ", kClassesMax, " classes"));
  }
  for (const std::string& name : names) {
    if (Printable(name, name.size()) != name) {
      return At(path, node.Mark(),
                absl::StrCat("the class name '", Printable(name),
                             "' has control characters or is no UTF-8"));
    }
  }
  return names;
}

absl::Status ReadSplit(const std::string& path, const YAML::Node& node, const char* key,
                       std::vector<std::string>& out) {
  const YAML::Node split = node[key];
  if (!split.IsDefined() || split.IsNull()) return absl::OkStatus();
  if (split.IsScalar()) {
    if (!split.Scalar().empty()) out.push_back(split.Scalar());
    return absl::OkStatus();
  }
  if (!split.IsSequence())
    return At(path, split.Mark(), absl::StrCat(key, " must be a path or a list of paths"));
  for (const auto& item : split) {
    if (!item.IsScalar())
      return At(path, item.Mark(), absl::StrCat(key, ": an entry that is no path"));
    out.push_back(item.Scalar());
  }
  return absl::OkStatus();
}

absl::StatusOr<DataDescription> ReadChecked(const std::string& path, const std::string& text) {
  YOKE_RETURN_IF_ERROR(CheckShape(path, text));
  const YAML::Node node = YAML::Load(text);
  if (!node.IsMap()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": no data set description (train, val, names)"));
  }
  DataDescription data;
  if (const YAML::Node entry = node["path"]; entry.IsDefined() && !entry.IsNull()) {
    if (!entry.IsScalar()) return At(path, entry.Mark(), "path must be a folder");
    data.path = entry.Scalar();
  }
  YOKE_RETURN_IF_ERROR(ReadSplit(path, node, "train", data.train));
  YOKE_RETURN_IF_ERROR(ReadSplit(path, node, "val", data.val));
  if (data.val.empty()) YOKE_RETURN_IF_ERROR(ReadSplit(path, node, "validation", data.val));
  YOKE_RETURN_IF_ERROR(ReadSplit(path, node, "test", data.test));
  if (data.train.empty() && data.val.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": neither train nor val; name the folders of images, as in train: images/train"));
  }
  YOKE_ASSIGN_OR_RETURN(data.names, ReadClassNames(path, node["names"]));
  if (const YAML::Node nc = node["nc"]; nc.IsDefined() && !nc.IsNull()) {
    int64_t count = 0;
    if (!nc.IsScalar() || !absl::SimpleAtoi(nc.Scalar(), &count) ||
        count != static_cast<int64_t>(data.names.size())) {
      return At(path, nc.Mark(),
                absl::StrCat("nc is ", nc.IsScalar() ? Printable(nc.Scalar()) : "no number",
                             " but there are ", data.names.size(),
                             " names; correct one of them or drop nc"));
    }
  }
  return data;
}

}  // namespace

absl::StatusOr<DataDescription> ParseDataYaml(const std::string& text, const std::string& name) {
  try {
    return ReadChecked(name, text);
  } catch (const YAML::Exception& e) {
    return At(name, e.mark, absl::StrCat("not valid YAML: ", Printable(e.msg)));
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": not valid YAML: ", Printable(e.what())));
  }
}

}  // namespace yoke::formats
