//! The temperature of the processor.

use std::fs;
use std::path::{Path, PathBuf};

/// Drivers of sensors in or at a processor. Others are left alone: `drivetemp` keeps disks awake.
const PROCESSORS: [&str; 4] = ["coretemp", "k10temp", "zenpower", "cpu_thermal"];

/// What is a temperature, and not a sensor that is not there, °C.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 1.0..=125.0;

/// What the names of a processor's thermal zones contain. Others are of a board, of a battery or of a radio chip.
const ZONES: [&str; 5] = ["cpu", "pkg", "soc", "core", "package"];

/// The hottest sensor of the processors, else their hottest thermal zone, else the hottest of all zones, °C.
pub fn read() -> Option<f64> {
    hottest(Path::new("/sys/class"))
}

fn hottest(class: &Path) -> Option<f64> {
    let sensors = entries(&class.join("hwmon"), "hwmon").filter(|sensor| {
        let name = fs::read(sensor.join("name")).unwrap_or_default();
        PROCESSORS.iter().any(|known| known.as_bytes() == name.trim_ascii())
    });
    let inputs = sensors.flat_map(|sensor| entries(&sensor, "temp"));
    let inputs = inputs.filter(|file| file.to_string_lossy().ends_with("_input"));
    let processors = inputs.filter_map(|file| degrees(&file));
    let zones = || entries(&class.join("thermal"), "thermal_zone");
    let is_processor = |zone: &PathBuf| {
        let kind = fs::read_to_string(zone.join("type")).unwrap_or_default().to_lowercase();
        ZONES.iter().any(|known| kind.contains(known))
    };
    let hottest = |zones: &mut dyn Iterator<Item = PathBuf>| {
        zones.filter_map(|zone| degrees(&zone.join("temp"))).max_by(f64::total_cmp)
    };
    processors
        .max_by(f64::total_cmp)
        .or_else(|| hottest(&mut zones().filter(is_processor)))
        .or_else(|| hottest(&mut zones()))
}

/// What is in a folder, if its name begins so.
fn entries(folder: &Path, beginning: &'static str) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let name = entry.file_name();
        let is_wanted = name.to_str().is_some_and(|name| name.starts_with(beginning));
        is_wanted.then(|| entry.path())
    })
}

/// A file that holds thousandths of a degree.
fn degrees(file: &Path) -> Option<f64> {
    let content = fs::read(file).ok()?;
    let thousandths: f64 = std::str::from_utf8(&content).ok()?.trim().parse().ok()?;
    Some(thousandths / 1000.0).filter(|degrees| PLAUSIBLE.contains(degrees))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, as they were recorded.
    fn recorded(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("heartbeat-{}-{name}", std::process::id()));
        for (file, content) in files {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, content).expect("a file");
        }
        folder
    }

    #[test]
    fn the_hottest_sensor_of_the_processor_counts() {
        for (name, files, expected) in [
            (
                "laptop",
                &[
                    ("hwmon/hwmon0/name", "acpitz\n"),
                    ("hwmon/hwmon0/temp1_input", "97000\n"),
                    ("hwmon/hwmon4/name", "coretemp\n"),
                    ("hwmon/hwmon4/temp1_input", "61000\n"),
                    ("hwmon/hwmon4/temp1_max", "100000\n"),
                    ("hwmon/hwmon4/temp2_input", "63500\n"),
                    ("hwmon/hwmon5/name", "iwlwifi_1\n"),
                    ("hwmon/hwmon5/temp1_input", "70000\n"),
                    ("thermal/thermal_zone0/temp", "99000\n"),
                ][..],
                Some(63.5),
            ),
            (
                "server",
                &[
                    ("hwmon/hwmon0/name", "drivetemp\n"),
                    ("hwmon/hwmon0/temp1_input", "44000\n"),
                    ("hwmon/hwmon2/name", "k10temp\n"),
                    ("hwmon/hwmon2/temp1_input", "48125\n"),
                    ("hwmon/hwmon2/temp3_input", "255875\n"),
                    ("hwmon/hwmon2/temp4_input", "0\n"),
                ],
                Some(48.125),
            ),
            (
                "raspberry-pi",
                &[
                    ("hwmon/hwmon0/name", "rp1_adc\n"),
                    ("hwmon/hwmon0/temp1_input", "59000\n"),
                    ("thermal/thermal_zone0/temp", "51121\n"),
                    ("thermal/cooling_device0/temp", "90000\n"),
                ],
                Some(51.121),
            ),
            (
                "radio",
                &[
                    ("thermal/thermal_zone0/type", "acpitz\n"),
                    ("thermal/thermal_zone0/temp", "27800\n"),
                    ("thermal/thermal_zone1/type", "iwlwifi_1\n"),
                    ("thermal/thermal_zone1/temp", "71000\n"),
                    ("thermal/thermal_zone2/type", "x86_pkg_temp\n"),
                    ("thermal/thermal_zone2/temp", "44000\n"),
                    ("thermal/thermal_zone3/type", "x86_pkg_temp\n"),
                    ("thermal/thermal_zone3/temp", "45000\n"),
                ],
                Some(45.0),
            ),
            (
                "disks-only",
                &[("hwmon/hwmon0/name", "drivetemp\n"), ("hwmon/hwmon0/temp1_input", "44000\n")],
                None,
            ),
            ("container", &[], None),
        ] {
            let folder = recorded(name, files);
            assert_eq!(hottest(&folder), expected, "{name}");
            let _ = fs::remove_dir_all(folder);
        }
    }
}
