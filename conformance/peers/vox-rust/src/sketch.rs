// SPDX-License-Identifier: MIT
//! `Sketch`: some of `Testbed`'s methods in a service that choir has no types
//! of, so that its callers have to get along with what is announced.

use crate::testbed::{Color, MathError, Point, Record, Service, TaggedPoint, Testbed as _};

#[vox::service]
pub trait Sketch {
    async fn colors(&self) -> Vec<Color>;
    async fn color(&self, name: String) -> Option<Color>;
    async fn row(&self, count: u32) -> Vec<Point>;
    async fn same(&self, point: Point) -> Point;
    async fn label(&self, label: String, x: i32, y: i32, active: bool) -> TaggedPoint;
    async fn record(&self, record: Record) -> Record;
    async fn divide(&self, dividend: i64, divisor: i64) -> Result<i64, MathError>;
}

impl Sketch for Service {
    async fn colors(&self) -> Vec<Color> {
        self.all_colors().await
    }

    async fn color(&self, name: String) -> Option<Color> {
        self.parse_color(name).await
    }

    async fn row(&self, count: u32) -> Vec<Point> {
        self.get_points(count).await
    }

    async fn same(&self, point: Point) -> Point {
        self.echo_point(point).await
    }

    async fn label(&self, label: String, x: i32, y: i32, active: bool) -> TaggedPoint {
        self.describe_point(label, x, y, active).await
    }

    async fn record(&self, record: Record) -> Record {
        self.echo_record(record).await
    }

    async fn divide(&self, dividend: i64, divisor: i64) -> Result<i64, MathError> {
        crate::testbed::Testbed::divide(self, dividend, divisor).await
    }
}
