"""Reads with the tensorboard package what write_run_folder leaves in a run folder, and compares it with results.csv,
the JSON events, the pictures and the inputs: all of them say the same."""
import csv
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "support"), str(ROOT / "e2e")]
import harness  # noqa: E402
import oracles  # noqa: E402

RUN = "run"
# results.csv column -> field of an `epoch` event. Losses and metrics have 5 decimals in the file.
FIELDS = {"train/box_loss": "boxLoss", "train/cls_loss": "clsLoss", "train/dfl_loss": "dflLoss",
          "metrics/precision(B)": "precision", "metrics/recall(B)": "recall", "metrics/mAP50(B)": "map50",
          "metrics/mAP50-95(B)": "map5095", "val/box_loss": "valBoxLoss", "val/cls_loss": "valClsLoss",
          "val/dfl_loss": "valDflLoss"}
SCALAR, TENSOR, BLOB_SEQUENCE = 1, 2, 3  # SummaryMetadata.data_class
THRESHOLDS = 112


def flat_yaml(path):
    """args.yaml and recipe.yaml: one level, no texts of several lines."""
    values = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, text = line.partition(": ")
        if text in ("true", "false"):
            values[key] = text == "true"
        elif text.startswith("["):
            values[key] = text.strip("[]").replace(" ", "")
        else:
            try:
                values[key] = float(text)
            except ValueError:
                values[key] = text.strip('"')
    return {key: value for key, value in values.items() if key != "save_dir" and value not in ("", "~", "null")}


class RunFolderTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        accumulator, multiplexer, provider, base_plugin, context = oracles.require(
            "tensorboard.backend.event_processing.event_accumulator",
            "tensorboard.backend.event_processing.plugin_event_multiplexer",
            "tensorboard.backend.event_processing.data_provider", "tensorboard.plugins.base_plugin",
            "tensorboard.context")
        folder = tempfile.TemporaryDirectory(prefix="yoke-run-folder.")
        cls.addClassCleanup(folder.cleanup)
        cls.run_dir = pathlib.Path(folder.name) / RUN
        cls.run_dir.mkdir()
        subprocess.run([harness.BIN / "write_run_folder", cls.run_dir], check=True, stdout=subprocess.DEVNULL)
        cls.inputs = json.loads((cls.run_dir / "inputs.json").read_text())
        with open(cls.run_dir / "results.csv", newline="") as file:
            cls.rows = list(csv.DictReader(file))
        # As a reader of single files sees it, and as the dashboards do.
        cls.events = accumulator.EventAccumulator(str(cls.run_dir), accumulator.STORE_EVERYTHING_SIZE_GUIDANCE)
        cls.events.Reload()
        runs = multiplexer.EventMultiplexer(size_guidance={"tensors": 0})
        runs.AddRunsFromDirectory(folder.name)
        runs.Reload()
        plugins = {}  # some dashboards ask others
        cls.context = base_plugin.TBContext(logdir=folder.name, multiplexer=runs, plugin_name_to_instance=plugins,
                                            data_provider=provider.MultiplexerDataProvider(runs, folder.name))
        plugins["scalars"] = oracles.require("tensorboard.plugins.scalar.scalars_plugin").ScalarsPlugin(cls.context)
        cls.request = context.RequestContext()

    def scalars(self, tag):
        return {event.step: event.value for event in self.events.Scalars(tag)}

    def metadata(self, tag, plugin, data_class):
        metadata = self.events.SummaryMetadata(tag)
        self.assertEqual(metadata.plugin_data.plugin_name, plugin, tag)
        self.assertEqual(metadata.data_class, data_class, tag)
        return metadata.plugin_data.content

    def assert_close(self, one, other, relative, message):
        if math.isnan(other):
            self.assertTrue(math.isnan(one), message)
        else:
            self.assertLessEqual(abs(one - other), relative * abs(other), message)

    def class_tags(self):
        """TensorBoard's name of each class, by id: two of one name keep apart, one without a name has its number."""
        names = {one["id"]: one["name"] for one in self.inputs["classes"]}
        tags = {}
        for number, name in names.items():
            twice = list(names.values()).count(name) > 1
            tags[number] = f"class {number}" if not name else f"{name} #{number}" if twice else name
        return tags

    def test_scalars_are_the_columns_of_results_csv(self):
        columns = [name for name in self.rows[0] if name not in ("epoch", "time")]
        tags = [tag for tag in self.events.Tags()["scalars"] if not tag.startswith("AP50")]
        self.assertEqual(tags, columns)
        for name in columns:
            self.metadata(name, "scalars", SCALAR)
            values = self.scalars(name)
            self.assertEqual(list(values), [int(row["epoch"]) for row in self.rows])
            for row in self.rows:
                # The file has 6 digits.
                self.assert_close(values[int(row["epoch"])], float(row[name]), 5.1e-6, f"{name}, epoch {row['epoch']}")

    def test_events_are_the_columns_of_results_csv(self):
        lines = (self.run_dir / "events.jsonl").read_text().splitlines()
        events = [event for event in map(json.loads, lines) if event["type"] == "epoch"]
        self.assertEqual(len(events), len(self.rows))
        for event, row in zip(events, self.rows):
            self.assertEqual(event["epoch"], int(row["epoch"]))
            for column, field in FIELDS.items():
                if event[field] is None:  # JSON has no NaN
                    self.assertEqual(row[column], "nan")
                    continue
                # 5 decimals, then 6 digits.
                self.assertLessEqual(abs(event[field] - float(row[column])), 5.1e-6 * max(1, abs(event[field])), column)
            for index, rate in enumerate(event["lr"]):
                self.assert_close(float(row[f"lr/pg{index}"]), rate, 5.1e-6, f"lr/pg{index}")
            self.assert_close(float(row["time"]), event["seconds"], 5.1e-6, "time")
        self.assertIn("nan", [row["val/dfl_loss"] for row in self.rows])

    def test_every_class_has_its_average_precision(self):
        tags = self.class_tags()
        self.assertEqual(len(set(tags.values())), len(tags))
        self.assertEqual(len([tag for tag in self.events.Tags()["scalars"] if tag.startswith("AP50")]), 2 * len(tags))
        for one in self.inputs["classes"]:
            for prefix, key in (("AP50", "map50"), ("AP50-95", "map5095")):
                tag = f"{prefix}/{tags[one['id']]}"
                self.metadata(tag, "scalars", SCALAR)
                self.assert_close(self.scalars(tag)[one["epoch"]], one[key], 1e-6, tag)  # a float's 24 bits

    def test_custom_scalars_show_classes_in_one_graph(self):
        plugin = oracles.require("tensorboard.plugins.custom_scalar.custom_scalars_plugin").CustomScalarsPlugin(self.context)
        self.metadata("custom_scalars__config__", "custom_scalars", TENSOR)
        layout = json.loads(plugin.layout_impl(self.request, ""))
        graphs = {chart["title"]: chart["multiline"]["tag"] for category in layout["category"] for chart in category["chart"]}

        def shown(title):
            found = set()
            for expression in graphs[title]:
                answer = plugin.scalars_impl(self.request, RUN, expression, "")
                self.assertTrue(answer["regex_valid"], expression)
                found |= set(answer["tag_to_events"])
            return found

        names = self.class_tags().values()
        self.assertEqual(shown("AP50-95"), {f"AP50-95/{name}" for name in names})
        self.assertEqual(shown("AP50"), {f"AP50/{name}" for name in names})
        for loss in ("box", "cls", "dfl"):
            self.assertEqual(shown(loss), {f"train/{loss}_loss", f"val/{loss}_loss"})
        self.assertEqual(shown("all classes"), {column for column in FIELDS if column.startswith("metrics/")})
        self.assertEqual(shown("by parameter group"), {"lr/pg0", "lr/pg1", "lr/pg2"})

    def test_images_are_the_files(self):
        image, plugin_module = oracles.require("PIL.Image", "tensorboard.plugins.image.images_plugin")
        shown = plugin_module.ImagesPlugin(self.context)._index_impl(self.request, "")[RUN]
        files = {path.stem: path for path in self.run_dir.iterdir() if path.suffix in (".png", ".jpg")}
        self.assertEqual(set(shown), set(files))
        self.assertIn("results", files)
        for name, path in files.items():
            self.metadata(name, "images", BLOB_SEQUENCE)
            width, height, encoded = self.events.Tensors(name)[-1].tensor_proto.string_val
            self.assertEqual(encoded, path.read_bytes(), name)
            picture = image.open(io.BytesIO(encoded))
            picture.load()
            self.assertEqual(picture.size, (int(width), int(height)), name)
        self.assertEqual([event.step for event in self.events.Tensors("val_batch0_pred")], [1, 2, 3, 4, 5])
        self.assertEqual([event.step for event in self.events.Tensors("val_batch0_labels")], [1])

    def test_precision_recall_curves_are_the_curves(self):
        module, pr_metadata = oracles.require("tensorboard.plugins.pr_curve.pr_curves_plugin",
                                              "tensorboard.plugins.pr_curve.metadata")
        plugin = module.PrCurvesPlugin(self.context)
        tags = {number: f"PR/{name}" for number, name in self.class_tags().items()}
        self.assertEqual(set(plugin.tags_impl(self.request, "")[RUN]), {*tags.values(), "PR"})
        instances = {one["id"]: one["instances"] for one in self.inputs["classes"]}
        mean = {"precision": [0.0] * THRESHOLDS, "recall": [0.0] * THRESHOLDS}
        for curve in self.inputs["curves"]:
            tag, count = tags[curve["id"]], instances[curve["id"]]
            data = pr_metadata.parse_plugin_metadata(self.metadata(tag, "pr_curves", TENSOR))
            self.assertEqual(data.num_thresholds, THRESHOLDS)
            [entry] = plugin.pr_curves_impl(self.request, "", [RUN], tag)[RUN]
            self.assertEqual(entry["step"], len(self.rows))
            points = len(entry["precision"])  # the dashboard cuts off where nothing is found
            self.assertGreater(points, THRESHOLDS // 3)
            for at in range(THRESHOLDS):
                precision, recall = curve["precision"][9 * at], curve["recall"][9 * at]
                mean["precision"][at] += precision / len(tags)
                mean["recall"][at] += recall / len(tags)
                if at >= points:
                    self.assertLess(recall * count, 0.5)
                    continue
                self.assertAlmostEqual(entry["thresholds"][at], 9 * at / 999, places=6)
                self.assertAlmostEqual(entry["precision"][at], precision, places=6)
                self.assertAlmostEqual(entry["recall"][at], recall, places=6)
                found = entry["true_positives"][at]
                self.assertLessEqual(abs(found - recall * count), 0.5001)
                self.assertEqual(entry["false_negatives"][at], count - found)
                self.assertLessEqual(abs(entry["false_positives"][at] - found * (1 - precision) / precision), 0.5001)
        [entry] = plugin.pr_curves_impl(self.request, "", [RUN], "PR")[RUN]
        for key in ("precision", "recall"):
            for at, value in enumerate(entry[key]):
                self.assertAlmostEqual(value, mean[key][at], places=5)  # a sum of six floats
        self.assertEqual(entry["true_positives"][0] + entry["false_negatives"][0], sum(instances.values()))

    def test_hyper_parameters_are_those_of_the_run(self):
        context, experiment, groups, api, metadata = oracles.require(
            "tensorboard.plugins.hparams.backend_context", "tensorboard.plugins.hparams.get_experiment",
            "tensorboard.plugins.hparams.list_session_groups", "tensorboard.plugins.hparams.api_pb2",
            "tensorboard.plugins.hparams.metadata")
        args = flat_yaml(self.run_dir / "args.yaml") | flat_yaml(self.run_dir / "recipe.yaml")
        self.assertEqual((args["weight_decay"], args["cos_lr"], args["freeze"]), (0.00025, True, "0,1,7"))
        start = metadata.parse_session_start_info_plugin_data(self.metadata(metadata.SESSION_START_INFO_TAG, "hparams", TENSOR))
        self.assertEqual({key: getattr(value, value.WhichOneof("kind")) for key, value in start.hparams.items()}, args)
        end = metadata.parse_session_end_info_plugin_data(self.metadata(metadata.SESSION_END_INFO_TAG, "hparams", TENSOR))
        self.assertEqual(end.status, api.STATUS_SUCCESS)
        self.assertGreaterEqual(end.end_time_secs, start.start_time_secs)

        backend = context.Context(self.context)
        told = experiment.Handler(self.request, backend, "", api.GetExperimentRequest()).run()
        types = {bool: api.DATA_TYPE_BOOL, float: api.DATA_TYPE_FLOAT64, str: api.DATA_TYPE_STRING}
        self.assertEqual({info.name: info.type for info in told.hparam_infos}, {key: types[type(value)] for key, value in args.items()})
        request = api.ListSessionGroupsRequest(slice_size=10, include_metrics=True,
                                               allowed_statuses=[api.STATUS_SUCCESS, api.STATUS_RUNNING])
        [group] = groups.Handler(self.request, backend, "", request).run().session_groups
        last = self.rows[-1]
        self.assertEqual({value.name.tag for value in group.metric_values},
                         {column for column in FIELDS if not column.startswith("train/")})
        for value in group.metric_values:
            self.assert_close(value.value, float(last[value.name.tag]), 5.1e-6, value.name.tag)
            self.assertEqual(value.training_step, len(self.rows))


if __name__ == "__main__":
    harness.main()
