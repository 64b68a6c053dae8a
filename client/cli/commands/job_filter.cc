#include "client/cli/commands/job_filter.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/keys/key_list.h"
#include "yoke/v1/job.pb.h"

namespace yoke::cli {
namespace {

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

}  // namespace

absl::StatusOr<std::string> JobFilter(const std::vector<std::string>& words) {
  std::vector<std::string> terms;
  for (const std::string& word : words) {
    if (absl::StrContains(word, " ")) {
      terms.push_back(word);
      continue;
    }
    const std::vector<std::string> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
    if (parts.size() != 2 || parts[1].empty()) {
      return absl::InvalidArgumentError(absl::StrCat("'", word, "' is no filter; write state=RUNNING, owner=NAME or name=LABEL"));
    }
    const std::string key = parts[0] == "name" ? "display_name" : parts[0];
    if (key != "state" && key != "owner" && key != "display_name") {
      const std::string nearest = Nearest(parts[0], {"state", "owner", "name"});
      return absl::InvalidArgumentError(
          absl::StrCat("jobs are not filtered by '", parts[0], "'",
                       nearest.empty() ? "; use state, owner, name or array"
                                       : absl::StrCat("; did you mean '", nearest, "'?")));
    }
    std::vector<std::string> alternatives;
    for (const absl::string_view value : absl::StrSplit(parts[1], ',')) {
      if (key != "state") {
        alternatives.push_back(absl::StrCat(key, " = ", Quoted(value)));
        continue;
      }
      const std::string state = absl::AsciiStrToUpper(value);
      v1::Job::State known;
      if (!v1::Job::State_Parse(state, &known)) {
        std::vector<std::string> names;
        for (int i = 1; i < v1::Job::State_descriptor()->value_count(); ++i) names.push_back(v1::Job::State_descriptor()->value(i)->name());
        return absl::InvalidArgumentError(absl::StrCat("'", value, "' is no state; one of ", absl::StrJoin(names, ", ")));
      }
      alternatives.push_back(absl::StrCat("state = ", state));
    }
    terms.push_back(absl::StrJoin(alternatives, " OR "));
  }
  return absl::StrJoin(terms, " AND ");
}

}  // namespace yoke::cli
