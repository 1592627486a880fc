// SPDX-License-Identifier: MIT
// The evolved Testbed of the vox project: the same names, other layouts.
trait Testbed {
    async fn echo_profile(&self, profile: Profile) -> Profile;
    async fn echo_record(&self, record: Record) -> Record;
    async fn echo_status(&self, status: Status) -> Status;
    async fn echo_tag(&self, tag: Tag) -> Tag;
    async fn echo_measurement(&self, m: Measurement) -> Measurement;
    async fn echo_config(&self, c: Config) -> Config;
}

struct Profile { name: String, bio: String, avatar: Option<String> }
struct Record { gamma: f64, alpha: i32, beta: String }
enum Status { Active, Inactive, Suspended }
struct Tag { label: String, priority: u32 }
struct Measurement { unit: String, value: String }
struct Config { key: String, value: String, owner: String }
