// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/tables_archive.hpp"

namespace bevfusion {

namespace {

template <typename Rows>
void within(RowIndex row, const Rows& rows, RowIndex least = 0) {
  if (row < least || row >= static_cast<RowIndex>(rows.size())) Unpacker::refuse();
}

}  // namespace

void check_references(const Tables& tables) {
  for (const SceneRow& row : tables.scenes) {
    within(row.log, tables.logs);
    within(row.first_sample, tables.samples);
    within(row.last_sample, tables.samples);
  }
  for (const SampleRow& row : tables.samples) {
    within(row.scene, tables.scenes);
    within(row.previous, tables.samples, -1);
    within(row.next, tables.samples, -1);
    for (const RowIndex data : row.data) within(data, tables.sample_data, -1);
    const auto all = static_cast<RowIndex>(tables.annotations.size());
    const bool inside = row.first_annotation >= 0 && row.annotation_count >= 0 && row.first_annotation <= all &&
                        row.annotation_count <= all - row.first_annotation;
    if (!inside) Unpacker::refuse();
  }
  for (const SampleDataRow& row : tables.sample_data) {
    within(row.sample, tables.samples);
    within(row.ego_pose, tables.ego_poses);
    within(row.calibration, tables.calibrations);
    within(row.previous, tables.sample_data, -1);
    within(row.next, tables.sample_data, -1);
  }
  for (const InstanceRow& row : tables.instances) within(row.category, tables.categories);
  for (const AnnotationRow& row : tables.annotations) {
    within(row.sample, tables.samples);
    within(row.instance, tables.instances);
    within(row.previous, tables.annotations, -1);
    within(row.next, tables.annotations, -1);
  }
}

void unpack_tables(Unpacker& unpack, Tables& tables) {
  archive_tables(unpack, tables);
  check_references(tables);
}

}  // namespace bevfusion
