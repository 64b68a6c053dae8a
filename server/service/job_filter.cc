#include "server/service/job_filter.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "server/service/errors.h"

namespace yoke::service {
namespace {

constexpr size_t kFilterBytesMax = 4096;

struct Token {
  enum Kind { kWord, kText, kEquals, kOpen, kClose, kEnd } kind = kEnd;
  std::string text;
  size_t at = 0;  // byte in the filter
};

absl::Status Refuse(size_t at, const std::string& what) {
  return InvalidField("filter",
                      absl::StrCat("filter: at character ", at + 1, ": ", what,
                                   ". Write state = RUNNING, owner = \"ann\" or display_name = "
                                   "\"night\", joined by AND or OR."),
                      "FILTER_INVALID");
}

bool IsWordByte(char c) {
  return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.' ||
         (static_cast<unsigned char>(c) & 0x80) != 0;
}

absl::StatusOr<Token> ReadQuoted(const std::string& text, size_t& at) {
  Token token{Token::kText, "", at};
  const char quote = text[at++];
  for (; at < text.size() && text[at] != quote; ++at) {
    if (text[at] == '\\' && at + 1 < text.size()) ++at;
    token.text += text[at];
  }
  if (at == text.size()) return Refuse(token.at, "the quoted text does not end");
  ++at;
  return token;
}

absl::StatusOr<std::vector<Token>> Tokens(const std::string& text) {
  std::vector<Token> tokens;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (absl::ascii_isspace(c)) {
      ++at;
    } else if (c == '=' || c == '(' || c == ')') {
      tokens.push_back({c == '='   ? Token::kEquals
                        : c == '(' ? Token::kOpen
                                   : Token::kClose,
                        std::string(1, c), at++});
    } else if (c == '"' || c == '\'') {
      YOKE_ASSIGN_OR_RETURN(Token quoted, ReadQuoted(text, at));
      tokens.push_back(std::move(quoted));
    } else if (IsWordByte(c)) {
      Token word{Token::kWord, "", at};
      while (at < text.size() && IsWordByte(text[at])) word.text += text[at++];
      tokens.push_back(std::move(word));
    } else {
      return Refuse(at, absl::StrCat("'", std::string(1, c), "' is not understood"));
    }
  }
  tokens.push_back({Token::kEnd, "", text.size()});
  return tokens;
}

// Narrows what a field may be: the values of one group of OR, or those that an earlier group allows
// too.
template <typename Value>
void Narrow(const std::vector<Value>& values, std::optional<std::vector<Value>>& allowed) {
  if (!allowed.has_value()) {
    allowed = values;
    return;
  }
  std::erase_if(*allowed, [&](const Value& value) {
    return std::find(values.begin(), values.end(), value) == values.end();
  });
}

template <typename Value, typename Actual>
bool IsOneOf(const std::optional<std::vector<Value>>& allowed, const Actual& actual) {
  return !allowed.has_value() ||
         std::find(allowed->begin(), allowed->end(), actual) != allowed->end();
}

}  // namespace

// Grammar: filter = group {AND group}; group = "(" filter ")" | term {OR term}; term = field "="
// value.
class JobQueryParser {
 public:
  explicit JobQueryParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  absl::StatusOr<JobQuery> Parse() {
    YOKE_RETURN_IF_ERROR(ParseGroups());
    if (Now().kind != Token::kEnd)
      return Refuse(Now().at, absl::StrCat("expected AND or OR, not '", Now().text, "'"));
    JobQuery& query = query_;
    query.matches_nothing_ = (query.states_ && query.states_->empty()) ||
                             (query.owners_ && query.owners_->empty()) ||
                             (query.display_names_ && query.display_names_->empty());
    if (query.states_) query.store_filter_.states = *query.states_;
    if (query.owners_ && query.owners_->size() == 1)
      query.store_filter_.owner = query.owners_->front();
    if (query.display_names_ && query.display_names_->size() == 1)
      query.store_filter_.display_name = query.display_names_->front();
    return query_;
  }

 private:
  static constexpr int kDepthMax = 8;

  const Token& Now() const { return tokens_[next_]; }
  bool TakeWord(const char* word) {
    if (Now().kind != Token::kWord || !absl::EqualsIgnoreCase(Now().text, word)) return false;
    ++next_;
    return true;
  }

  absl::Status ParseGroups() {
    do {
      YOKE_RETURN_IF_ERROR(ParseGroup());
    } while (TakeWord("AND"));
    return absl::OkStatus();
  }

  absl::Status ParseGroup() {
    if (Now().kind != Token::kOpen) return ParseAlternatives();
    const size_t opened = tokens_[next_++].at;
    if (++depth_ > kDepthMax) return Refuse(opened, "too many parentheses");
    YOKE_RETURN_IF_ERROR(ParseGroups());
    --depth_;
    if (Now().kind != Token::kClose) return Refuse(opened, "this parenthesis is not closed");
    ++next_;
    if (Now().kind == Token::kWord && absl::EqualsIgnoreCase(Now().text, "OR"))
      return Refuse(Now().at, "OR joins conditions, not groups of them");
    return absl::OkStatus();
  }

  absl::Status ParseAlternatives() {
    std::string field;
    std::vector<std::string> values;
    std::vector<v1::Job::State> states;
    do {
      const Token name = Now();
      if (name.kind != Token::kWord)
        return Refuse(name.at, "expected state, owner or display_name");
      if (name.text != "state" && name.text != "owner" && name.text != "display_name") {
        return Refuse(name.at, absl::StrCat("jobs are not filtered by '", name.text, "'"));
      }
      if (!field.empty() && name.text != field)
        return Refuse(name.at, absl::StrCat("OR joins conditions on one field, here ", field));
      field = name.text;
      ++next_;
      if (Now().kind != Token::kEquals)
        return Refuse(Now().at, absl::StrCat("expected = after ", field));
      ++next_;
      const Token value = Now();
      if (value.kind != Token::kWord && value.kind != Token::kText)
        return Refuse(value.at, absl::StrCat("expected a value for ", field));
      ++next_;
      values.push_back(value.text);
      v1::Job::State state;
      if (field == "state") {
        if (!v1::Job::State_Parse(value.text, &state) || state == v1::Job::STATE_UNSPECIFIED)
          return UnknownState(value);
        states.push_back(state);
      }
    } while (TakeWord("OR"));
    if (field == "state") Narrow(states, query_.states_);
    if (field == "owner") Narrow(values, query_.owners_);
    if (field == "display_name") Narrow(values, query_.display_names_);
    return absl::OkStatus();
  }

  static absl::Status UnknownState(const Token& value) {
    std::vector<std::string> names;
    for (int i = 1; i < v1::Job::State_descriptor()->value_count(); ++i)
      names.push_back(v1::Job::State_descriptor()->value(i)->name());
    return Refuse(value.at, absl::StrCat("'", value.text, "' is no state; there are ",
                                         absl::StrJoin(names, ", ")));
  }

  const std::vector<Token> tokens_;
  size_t next_ = 0;
  int depth_ = 0;
  JobQuery query_;
};

absl::StatusOr<JobQuery> JobQuery::Parse(const std::string& text) {
  if (text.size() > kFilterBytesMax)
    return Refuse(kFilterBytesMax, absl::StrCat("longer than ", kFilterBytesMax, " bytes"));
  YOKE_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokens(text));
  if (tokens.size() == 1) return JobQuery();
  return JobQueryParser(std::move(tokens)).Parse();
}

bool JobQuery::Matches(const jobs::StoredJob& job) const {
  return Matches(job.state, job.owner, job.display_name);
}

bool JobQuery::Matches(const v1::Job& job) const {
  return Matches(job.state(), job.owner(), job.display_name());
}

bool JobQuery::Matches(v1::Job::State state, const std::string& owner,
                       const std::string& display_name) const {
  return IsOneOf(states_, state) && IsOneOf(owners_, owner) &&
         IsOneOf(display_names_, display_name);
}

}  // namespace yoke::service
