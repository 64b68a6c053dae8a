#include "server/engine/train/identity.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/engine/data/fingerprint.h"

namespace yoke::engine {
namespace {

constexpr size_t kClassesShown = 3;

ImageMarks MarksOf(const Split& split) {
  ImageMarks marks;
  for (const Sample& sample : split.samples) {
    const std::filesystem::path path(sample.image_path);
    Fingerprint name, content;
    name.Add(path.filename().string());
    std::error_code none;
    const auto bytes = std::filesystem::file_size(path, none);
    content.Add(none ? int64_t{-1} : static_cast<int64_t>(bytes));
    content.Add(sample.width);
    content.Add(sample.height);
    for (const Label& label : sample.labels) {
      const float box[] = {label.x, label.y, label.w, label.h};
      content.Add(label.class_id);
      content.Add(std::string_view(reinterpret_cast<const char*>(box), sizeof box));
    }
    marks.emplace_back(static_cast<int64_t>(name.low()), static_cast<int64_t>(content.low()));
  }
  return marks;
}

std::string ClassDifference(const std::vector<std::string>& saved,
                            const std::vector<std::string>& now) {
  std::vector<std::string> words;
  size_t differing = 0;
  for (size_t id = 0; id < std::max(saved.size(), now.size()); ++id) {
    const bool is_gone = id >= now.size(), is_new = id >= saved.size();
    if (!is_gone && !is_new && saved[id] == now[id]) continue;
    if (++differing > kClassesShown) continue;
    words.push_back(absl::StrCat("class ", id, is_new ? " is new: '" : " was '",
                                 is_new ? now[id] : saved[id], "'",
                                 is_gone  ? " and is gone"
                                 : is_new ? ""
                                          : " and is '",
                                 is_gone || is_new ? "" : now[id] + "'"));
  }
  if (differing > kClassesShown)
    words.push_back(absl::StrCat("and ", differing - kClassesShown, " more"));
  return absl::StrJoin(words, ", ");
}

std::string ImageDifference(const char* split, ImageMarks saved, ImageMarks now) {
  if (saved.empty() || now.empty()) return "";
  // By file name, the contents that only one side has.
  std::map<int64_t, std::pair<int64_t, int64_t>> unmatched;
  std::sort(saved.begin(), saved.end());
  std::sort(now.begin(), now.end());
  ImageMarks before, after;
  std::set_difference(saved.begin(), saved.end(), now.begin(), now.end(),
                      std::back_inserter(before));
  std::set_difference(now.begin(), now.end(), saved.begin(), saved.end(),
                      std::back_inserter(after));
  for (const auto& [name, content] : before) ++unmatched[name].first;
  for (const auto& [name, content] : after) ++unmatched[name].second;
  int64_t added = 0, removed = 0, changed = 0;
  for (const auto& [name, counts] : unmatched) {
    const int64_t both = std::min(counts.first, counts.second);
    changed += both;
    removed += counts.first - both;
    added += counts.second - both;
  }
  if (added + removed + changed == 0) return "";
  std::vector<std::string> words;
  for (const auto& [count, what] : {std::pair{added, "added"},
                                    {removed, "removed"},
                                    {changed, "changed (the image or its labels)"}}) {
    if (count > 0) words.push_back(absl::StrCat(count, " ", what));
  }
  return absl::StrCat("of the ", saved.size(), " ", split, " images ", absl::StrJoin(words, ", "));
}

}  // namespace

DataIdentity IdentityOf(const std::vector<std::string>& names, const Split& train,
                        const Split& val) {
  return {names, MarksOf(train), MarksOf(val)};
}

std::string Difference(const DataIdentity& saved, const DataIdentity& now) {
  std::vector<std::string> parts;
  for (const std::string& part : {ClassDifference(saved.names, now.names),
                                  ImageDifference("training", saved.train, now.train),
                                  ImageDifference("validation", saved.val, now.val)}) {
    if (!part.empty()) parts.push_back(part);
  }
  return absl::StrJoin(parts, "; ");
}

}  // namespace yoke::engine
