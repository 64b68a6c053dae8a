// results.csv against those that both versions of the reference wrote: golden/results_ERA.csv.
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/str_format.h"
#include "gtest/gtest.h"
#include "server/engine/plots/results_table.h"
#include "server/engine/train/run_folder.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

std::string GoldenPath(const std::string& era) {
  return std::string(std::getenv("YOKE_SOURCE_DIR")) + "/tests/numerics/golden/results_" + era +
         ".csv";
}

std::string TextOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What training reported when the reference wrote row `i`.
EpochReport ReportOf(const ResultsTable& table, size_t i) {
  const auto at = [&](const char* column) {
    const std::vector<double>& values = table.Column(column);
    return values.empty() ? 0 : values.at(i);
  };
  EpochReport report;
  report.epoch = static_cast<int>(at("epoch"));
  report.seconds = at("time");
  report.box_loss = at("train/box_loss");
  report.cls_loss = at("train/cls_loss");
  report.dfl_loss = at("train/dfl_loss");
  report.metrics.precision = at("metrics/precision(B)");
  report.metrics.recall = at("metrics/recall(B)");
  report.metrics.map50 = at("metrics/mAP50(B)");
  report.metrics.map5095 = at("metrics/mAP50-95(B)");
  report.val_box_loss = at("val/box_loss");
  report.val_cls_loss = at("val/cls_loss");
  report.val_dfl_loss = at("val/dfl_loss");
  report.lr = {at("lr/pg0"), at("lr/pg1"), at("lr/pg2")};
  return report;
}

// Our file of the golden's epochs.
std::string Rewritten(const ResultsTable& golden, const std::string& folder) {
  ResultsFile file(folder);
  for (size_t i = 0; i < golden.Column("epoch").size(); ++i) {
    EXPECT_TRUE(file.Append(ReportOf(golden, i)).ok());
  }
  return folder + "/results.csv";
}

TEST(ResultsCsv, IsTheLaterVersionsByteForByte) {
  const absl::StatusOr<ResultsTable> golden = ReadResults(GoldenPath("modern"));
  ASSERT_TRUE(golden.ok()) << golden.status();
  ASSERT_EQ(golden->Column("epoch").size(), 3u);
  TempFolder folder;
  EXPECT_EQ(TextOf(Rewritten(*golden, folder.path())), TextOf(GoldenPath("modern")));
}

TEST(ResultsCsv, HasTheEarlierVersionsColumnsAndNumbersWithoutBlanks) {
  const absl::StatusOr<ResultsTable> golden = ReadResults(GoldenPath("classic"));
  ASSERT_TRUE(golden.ok()) << golden.status();
  ASSERT_EQ(golden->Column("epoch").size(), 3u);
  TempFolder folder;
  const absl::StatusOr<ResultsTable> ours = ReadResults(Rewritten(*golden, folder.path()));
  ASSERT_TRUE(ours.ok()) << ours.status();
  std::vector<std::string> columns = golden->columns;
  columns.insert(columns.begin() + 1, "time");  // which it had not yet
  EXPECT_EQ(ours->columns, columns);
  for (const std::string& column : golden->columns) {
    // It wrote five digits, of numbers it had rounded to five decimals as we do.
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(absl::StrFormat("%.5g", ours->Column(column)[i]),
                absl::StrFormat("%.5g", golden->Column(column)[i]))
          << column;
    }
  }
}

TEST(ResultsCsv, RoundsLossesAndMetricsToFiveDecimalsAndPrintsSixDigits) {
  EpochReport report;
  report.epoch = 12;
  report.seconds = 1234567.89;
  report.box_loss = 1.23456789;
  report.cls_loss = 123.456789;
  report.dfl_loss = 0.000004;
  report.metrics.map50 = 0.123456789;
  report.lr = {1.23456789e-5, 0.1, 0};
  TempFolder folder;
  ResultsFile file(folder.path());
  ASSERT_TRUE(file.Append(report).ok());
  const std::string text = TextOf(folder.path() + "/results.csv");
  // As Python's round(x, 5) and "%.6g" give.
  EXPECT_EQ(text.substr(text.find('\n') + 1),
            "12,1.23457e+06,1.23457,123.457,0,0,0,0.12346,0,0,0,0,1.23457e-05,0.1,0\n");
}

}  // namespace
}  // namespace yoke::engine
