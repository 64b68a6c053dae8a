#include "server/engine/eval/class_map.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/formats/class_name.h"

namespace yoke::engine {
namespace {

constexpr size_t kPairsShown = 20, kDifferencesShown = 3;

using ByName = std::map<std::string, std::vector<int>>;  // compared name -> class ids

ByName Index(const std::vector<std::string>& names) {
  ByName by_name;
  for (size_t i = 0; i < names.size(); ++i)
    by_name[ComparedName(names[i])].push_back(static_cast<int>(i));
  return by_name;
}

bool SameNames(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return ComparedName(x) == ComparedName(y);
  });
}

ClassMap Identity(size_t classes) {
  ClassMap map(classes);
  std::iota(map.begin(), map.end(), 0);
  return map;
}

absl::Status Ambiguous(const ClassList& twice, const ClassList& other,
                       const std::vector<int>& ids) {
  return absl::InvalidArgumentError(absl::StrCat(
      twice.file, " calls several classes '", twice.names[static_cast<size_t>(ids[0])], "' (",
      absl::StrJoin(ids, ", "), "), so they cannot be matched by name with those of ", other.file,
      "; give them names of their own"));
}

// "classes of a.pt in those of b.pt: 0 cat -> 1 Cat, 1 dog -> none": those that are not the same.
void AddNote(const ClassList& from, const ClassMap& map, const ClassList& to,
             std::vector<std::string>& notes) {
  std::vector<std::string> pairs;
  size_t more = 0;
  for (size_t i = 0; i < map.size(); ++i) {
    if (map[i] == static_cast<int>(i)) continue;
    if (pairs.size() == kPairsShown) {
      ++more;
      continue;
    }
    const std::string found =
        map[i] < 0 ? "none" : absl::StrCat(map[i], " ", to.names[static_cast<size_t>(map[i])]);
    pairs.push_back(absl::StrCat(i, " ", from.names[i], " -> ", found));
  }
  if (pairs.empty()) return;
  notes.push_back(absl::StrCat("classes of ", from.file, " in those of ", to.file, ": ",
                               absl::StrJoin(pairs, ", "),
                               more > 0 ? absl::StrCat(" and ", more, " more") : ""));
}

// Each class of `from` by its name in `to`. At least one is found.
absl::StatusOr<ClassMap> MapByName(const ClassList& from, const ClassList& to) {
  const ByName from_names = Index(from.names), to_names = Index(to.names);
  ClassMap map(from.names.size(), -1);
  bool any = false;
  for (const auto& [name, ids] : from_names) {
    const auto found = to_names.find(name);
    if (found == to_names.end()) continue;
    if (ids.size() > 1) return Ambiguous(from, to, ids);
    if (found->second.size() > 1) return Ambiguous(to, from, found->second);
    map[static_cast<size_t>(ids[0])] = found->second[0];
    any = true;
  }
  if (any) return map;
  return absl::InvalidArgumentError(absl::StrCat(
      from.file, " and ", to.file, " have no class in common: '",
      from.names.empty() ? "" : from.names[0], "' ... and '", to.names.empty() ? "" : to.names[0],
      "' ... (", from.names.size(), " and ", to.names.size(), " classes, matched by name)"));
}

// As many names, and none of them at another place: renamed rather than other classes.
bool MayBeRenamed(const ClassList& from, const ClassList& to) {
  if (from.names.size() != to.names.size()) return false;
  const ByName to_names = Index(to.names);
  for (size_t i = 0; i < from.names.size(); ++i) {
    const auto found = to_names.find(ComparedName(from.names[i]));
    if (found != to_names.end() && std::find(found->second.begin(), found->second.end(),
                                             static_cast<int>(i)) == found->second.end()) {
      return false;
    }
  }
  return true;
}

std::string RenamedWarning(const ClassList& from, const ClassList& to) {
  std::vector<std::string> differences;
  size_t count = 0;
  for (size_t i = 0; i < from.names.size(); ++i) {
    if (ComparedName(from.names[i]) == ComparedName(to.names[i])) continue;
    if (++count <= kDifferencesShown)
      differences.push_back(absl::StrCat(i, " '", from.names[i], "' is '", to.names[i], "'"));
  }
  return absl::StrCat(from.file, " names ", count, " of its ", from.names.size(),
                      " classes otherwise than ", to.file,
                      " and is taken by class number: ", absl::StrJoin(differences, ", "),
                      count > kDifferencesShown ? " ..." : "");
}

// What no class of `map` is mapped to.
std::vector<std::string> Missing(const ClassMap& map, const std::vector<std::string>& common) {
  std::vector<char> known(common.size(), 0);
  for (const int id : map) {
    if (id >= 0) known[static_cast<size_t>(id)] = 1;
  }
  std::vector<std::string> missing;
  for (size_t i = 0; i < common.size(); ++i) {
    if (!known[i]) missing.push_back(common[i]);
  }
  return missing;
}

std::string Shortened(std::vector<std::string> names) {
  const size_t count = names.size();
  if (count > kDifferencesShown) names.resize(kDifferencesShown);
  return absl::StrCat(absl::StrJoin(names, ", "), count > kDifferencesShown ? " ..." : "");
}

}  // namespace

absl::StatusOr<ClassMatch> MatchModels(const std::vector<ClassList>& models) {
  ClassMatch match;
  ClassList common;
  for (const ClassList& model : models) {
    const bool first = match.maps.empty();
    if (first) common.names = model.names;
    ClassMap map = Identity(model.names.size());
    if (!SameNames(model.names, common.names)) {
      YOKE_ASSIGN_OR_RETURN(map, MapByName(model, common));
      for (size_t i = 0; i < map.size(); ++i) {
        if (map[i] >= 0) continue;
        map[i] = static_cast<int>(common.names.size());
        common.names.push_back(model.names[i]);
      }
      AddNote(model, map, common, match.notes);
    }
    match.maps.push_back(std::move(map));
    absl::StrAppend(&common.file, first ? "" : ", ", model.file);
  }
  // Said once all are known.
  for (size_t m = 0; m < models.size(); ++m) {
    const std::vector<std::string> missing = Missing(match.maps[m], common.names);
    if (missing.empty()) continue;
    match.notes.push_back(absl::StrCat(models[m].file, " does not vote for what it does not know (",
                                       missing.size(), " of ", common.names.size(),
                                       " classes): ", Shortened(missing)));
  }
  match.names = std::move(common.names);
  return match;
}

absl::StatusOr<ClassMatch> MatchDataSet(const std::vector<ClassList>& models, const ClassList& data,
                                        bool single_cls) {
  ClassMatch match;
  if (single_cls) {
    match.names = {"item"};
    for (const ClassList& model : models) match.maps.emplace_back(model.names.size(), 0);
    return match;
  }
  YOKE_ASSIGN_OR_RETURN(match, MatchModels(models));
  ClassList all;
  for (const ClassList& model : models)
    absl::StrAppend(&all.file, all.file.empty() ? "" : ", ", model.file);
  all.names = std::exchange(match.names, data.names);
  if (SameNames(all.names, data.names)) return match;
  if (MayBeRenamed(all, data)) {
    match.warnings.push_back(RenamedWarning(all, data));
    return match;
  }
  YOKE_ASSIGN_OR_RETURN(const ClassMap to_data, MapByName(all, data));
  AddNote(all, to_data, data, match.notes);
  const std::vector<std::string> missing = Missing(to_data, data.names);
  if (!missing.empty()) {
    match.warnings.push_back(absl::StrCat(
        all.file, " does not know ", missing.size(), " of the ", data.names.size(), " classes of ",
        data.file, "; objects of these count as missed: ", Shortened(missing)));
  }
  for (ClassMap& map : match.maps) {
    for (int& id : map) id = to_data[static_cast<size_t>(id)];
  }
  return match;
}

}  // namespace yoke::engine
