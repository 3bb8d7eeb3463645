//! Draws the first heartbeat.

use crate::figures::{Cold, Figures, median};
use anyhow::{Context, Result};
use plotters::prelude::*;
use std::path::Path;
use std::time::Duration;

const INIT: RGBColor = RGBColor(176, 190, 197);
const FIRST: RGBColor = RGBColor(2, 119, 189);

/// Draws a bar for each program: init, followed by the first heartbeat.
pub fn draw(all: &[Figures], file: &Path) -> Result<()> {
    let capped = all.iter().all(|figures| !figures.capped.is_empty());
    let millis = |figures: &Figures, field: fn(&Cold) -> Duration| {
        let samples = if capped { &figures.capped } else { &figures.cold };
        median(samples, field).map(|time| time.as_secs_f64() * 1e3).context("no samples")
    };
    let mut bars = Vec::new();
    for figures in all {
        let init = millis(figures, |cold| cold.init)?;
        bars.push((figures.name, init, millis(figures, Cold::total)?));
    }
    let longest = bars.iter().fold(0.0, |longest: f64, bar| longest.max(bar.2));
    let share = if capped { "128 MB" } else { "a whole core" };

    let area = SVGBackend::new(file, (720, 240)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("Init and first heartbeat (blue), {share}, ms"), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(120)
        .build_cartesian_2d(0.0..longest * 1.12, (0..bars.len() - 1).into_segmented())?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .y_label_formatter(&|place| match place {
            SegmentValue::CenterOf(index) => {
                let bar = bars.iter().rev().nth(*index);
                bar.map_or("", |bar| bar.0).to_owned()
            }
            _ => String::new(),
        })
        .draw()?;
    let bar = |index: usize, from: f64, to: f64, colour: RGBColor| {
        let (below, above) = (SegmentValue::Exact(index), SegmentValue::Exact(index + 1));
        let mut bar = Rectangle::new([(from, below), (to, above)], colour.filled());
        bar.set_margin(12, 12, 0, 0);
        bar
    };
    for (index, (_, init, total)) in bars.iter().rev().enumerate() {
        chart.draw_series([bar(index, 0.0, *init, INIT), bar(index, *init, *total, FIRST)])?;
        let label = format!("{total:.1}");
        let place = (*total, SegmentValue::CenterOf(index));
        let text = ("sans-serif", 14).into_font().color(&BLACK);
        chart.draw_series([EmptyElement::at(place) + Text::new(label, (6, -7), text)])?;
    }
    area.present()?;
    Ok(())
}
