# SPDX-License-Identifier: Apache-2.0
"""Samples of a data set in nuScenes' format as BEVFusion's Python loads them: over nuScenes' devkit, Pillow and OpenCV."""
import math

import cv2
import nuscenes.map_expansion.map_api as map_api
import numpy as np
import torch
from nuscenes import NuScenes
from nuscenes.eval.common.utils import quaternion_yaw
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import transform_matrix
from PIL import Image
from pyquaternion import Quaternion

CAMERAS = ["CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT"]
CLASSES = ["car", "truck", "bus", "trailer", "construction_vehicle", "pedestrian", "motorcycle", "bicycle", "traffic_cone", "barrier"]
AREAS = ["drivable_area", "ped_crossing", "walkway", "stop_line", "carpark_area"]
LINES = ["road_divider", "lane_divider"]
RESIZE, SIZE = 0.48, (704, 256)
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def mask_for_lines(lines, mask):
    """The devkit's, which walks over a MultiLineString as shapely 2 no longer allows."""
    for line in getattr(lines, "geoms", [lines]):
        cv2.polylines(mask, [np.asarray(line.coords).astype(np.int32).reshape((-1, 2))], False, 1, 2)
    return mask


class DevkitLoader:
    def __init__(self, root, version="v1.0-synth", sweeps=10):
        cv2.setNumThreads(1)
        map_api.NuScenesMapExplorer.mask_for_lines = staticmethod(mask_for_lines)
        self.sweeps = sweeps
        self.tables = NuScenes(version=version, dataroot=str(root), verbose=False)
        self.maps = {}
        for log in self.tables.log:
            place = log["location"]
            if place not in self.maps:
                map_api.locations.append(place)  # the devkit knows four places
                self.maps[place] = map_api.NuScenesMap(str(root), place)
                self.maps[place].map_name = "singapore-onenorth"  # whose size is looked up, and not used

    def load(self, token):
        tables = self.tables
        sample = tables.get("sample", token)
        lidar = tables.get("sample_data", sample["data"]["LIDAR_TOP"])
        from_lidar = self.global_from(lidar)
        cloud, ages = LidarPointCloud.from_file_multisweep(tables, sample, "LIDAR_TOP", "LIDAR_TOP", self.sweeps, 1.0)
        loaded = {"points": torch.from_numpy(np.concatenate((cloud.points, ages.astype(np.float32))).T.copy())}
        loaded["boxes"] = self.boxes(sample, from_lidar)
        loaded["masks"] = self.masks(sample, from_lidar)
        loaded.update(self.cameras(sample, np.linalg.inv(from_lidar)))
        return loaded

    def global_from(self, data):
        pose = self.tables.get("ego_pose", data["ego_pose_token"])
        sensor = self.tables.get("calibrated_sensor", data["calibrated_sensor_token"])
        return transform_matrix(pose["translation"], Quaternion(pose["rotation"])) @ transform_matrix(sensor["translation"], Quaternion(sensor["rotation"]))

    def boxes(self, sample, from_lidar):
        """[boxes, 10]: centre, size, yaw, velocity, class."""
        _, boxes, _ = self.tables.get_sample_data(sample["data"]["LIDAR_TOP"])
        rows = []
        for box in boxes:
            name = category_to_detection_name(box.name)
            if name is None:
                continue
            velocity = np.array([*self.tables.box_velocity(box.token)[:2], 0.0]) @ from_lidar[:3, :3]
            rows.append([*box.center, *box.wlh, quaternion_yaw(box.orientation), *velocity[:2], CLASSES.index(name)])
        return torch.tensor(np.array(rows).reshape(-1, 10))

    def masks(self, sample, from_lidar):
        """[6, 200, 200] as BEVFusion's LoadBEVSegmentation asks for them."""
        scene = self.tables.get("scene", sample["scene_token"])
        place = self.tables.get("log", scene["log_token"])["location"]
        yaw = math.atan2(from_lidar[1, 0], from_lidar[0, 0])
        box = (from_lidar[0, 3], from_lidar[1, 3], 100.0, 100.0)
        drawn = self.maps[place].get_map_mask(box, yaw / math.pi * 180, AREAS + LINES, (200, 200)).transpose(0, 2, 1) != 0
        labels = [*drawn[: len(AREAS)], drawn[len(AREAS)] | drawn[len(AREAS) + 1]]
        return torch.from_numpy(np.stack(labels).astype(np.float32))

    def cameras(self, sample, lidar_from_global):
        pictures, intrinsics, poses, augmentations = [], [], [], []
        for name in CAMERAS:
            data = self.tables.get("sample_data", sample["data"][name])
            sensor = self.tables.get("calibrated_sensor", data["calibrated_sensor_token"])
            picture, augmentation = resized(Image.open(self.tables.get_sample_data_path(data["token"])))
            pictures.append((torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255 - MEAN) / DEVIATION)
            intrinsics.append(torch.tensor(sensor["camera_intrinsic"], dtype=torch.float64))
            poses.append(torch.from_numpy(lidar_from_global @ self.global_from(data)))
            augmentations.append(augmentation)
        return {"pictures": torch.stack(pictures), "intrinsics": torch.stack(intrinsics), "camera_to_lidar": torch.stack(poses),
                "image_augmentation": torch.stack(augmentations)}


def resized(picture):
    """BEVFusion's ImageAug3D in testing: to 0.48 of 1600 x 900, and the lower middle of that."""
    size = (int(picture.width * RESIZE), int(picture.height * RESIZE))
    left, top = max(0, size[0] - SIZE[0]) // 2, size[1] - SIZE[1]
    augmentation = torch.eye(4, dtype=torch.float64)
    augmentation[0, 0] = augmentation[1, 1] = RESIZE
    augmentation[:2, 3] = -torch.tensor([left, top], dtype=torch.float64)
    return picture.resize(size, Image.BILINEAR).crop((left, top, left + SIZE[0], top + SIZE[1])), augmentation
