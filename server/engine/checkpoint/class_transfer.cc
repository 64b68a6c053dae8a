#include "server/engine/checkpoint/class_transfer.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/formats/class_name.h"

namespace yoke::engine {
namespace {

constexpr size_t kLinesMax = 200;

std::vector<std::string> FoldAll(const std::vector<std::string>& names) {
  std::vector<std::string> folded;
  for (const std::string& name : names) folded.push_back(ComparedName(name));
  return folded;
}

bool IsPlaceholder(const std::string& folded, size_t id) {
  return folded == absl::StrCat(id) || folded == absl::StrCat("class", id);
}

// folded name -> its class ids
std::map<std::string, std::vector<int>> IdsByName(const std::vector<std::string>& folded) {
  std::map<std::string, std::vector<int>> ids;
  for (size_t id = 0; id < folded.size(); ++id) {
    if (!IsPlaceholder(folded[id], id)) ids[folded[id]].push_back(static_cast<int>(id));
  }
  return ids;
}

absl::Status Ambiguous(const std::string& name, const std::vector<int>& ids, const char* whose) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the class name '", name, "' stands twice in ", whose, " (ids ", ids[0], " and ", ids[1],
      "), so class weights cannot follow names; rename one of them, or give "
      "cls_remap=False to take over weights by shape only"));
}

}  // namespace

absl::StatusOr<ClassTransfer> MatchClasses(const std::vector<std::string>& from,
                                           const std::vector<std::string>& to) {
  const std::vector<std::string> folded_from = FoldAll(from), folded_to = FoldAll(to);
  ClassTransfer map;
  if (folded_from == folded_to) return map;
  const auto known = IdsByName(folded_from), wanted = IdsByName(folded_to);
  map.source.assign(to.size(), -1);
  for (const auto& [name, ids] : wanted) {
    const auto found = known.find(name);
    if (found == known.end()) continue;
    if (ids.size() > 1) return Ambiguous(name, ids, "the data set");
    if (found->second.size() > 1) return Ambiguous(name, found->second, "the weights");
    map.source[ids[0]] = found->second[0];
    ++map.matched;
  }
  if (map.matched == 0) map.source.clear();
  return map;
}

std::vector<std::string> DescribeTransfer(const ClassTransfer& map,
                                          const std::vector<std::string>& from,
                                          const std::vector<std::string>& to) {
  if (FoldAll(from) == FoldAll(to)) return {};
  if (!map.by_name()) {
    return {absl::StrCat(
        "no class of the data set has the name of one of the weights' classes: ",
        from.size() == to.size() ? "their class weights are taken over by id" : "all are new")};
  }
  std::vector<std::string> lines = {absl::StrCat("class weights by name (", map.matched, " of ",
                                                 to.size(), " classes; id in the weights -> id):")};
  for (size_t id = 0; id < to.size(); ++id) {
    if (lines.size() > kLinesMax) {
      lines.push_back(absl::StrCat("  ... and ", to.size() - id, " more"));
      break;
    }
    const int source = map.source[id];
    lines.push_back(source < 0 ? absl::StrCat("  new -> ", id, " ", to[id])
                               : absl::StrCat("  ", source, " -> ", id, " ", to[id]));
  }
  return lines;
}

}  // namespace yoke::engine
