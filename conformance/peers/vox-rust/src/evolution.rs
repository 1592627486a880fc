// SPDX-License-Identifier: MIT
//! The six methods of which there are two versions, called as either of them.
//! What comes of it depends on who the peer is, so there are no verdicts here.

use crate::scenarios::Report;
use crate::{evolved, link, testbed};

pub async fn call_as_v1(report: &Report, address: &str) -> Result<(), String> {
    use testbed::{Config, Measurement, Profile, Record, Status, Tag};
    let client: testbed::TestbedClient = link::connect(address).await?;
    let record = Record {
        alpha: -1,
        beta: "b".into(),
        gamma: 2.5,
    };

    let profile = Profile {
        name: "Ana".into(),
        bio: "x".into(),
    };
    report.observe("echo_profile", client.echo_profile(profile).await);
    report.observe("echo_record", client.echo_record(record.clone()).await);
    report.observe("echo_status", client.echo_status(Status::Inactive).await);
    let tag = Tag {
        label: "t".into(),
        priority: 7,
        note: "n".into(),
    };
    report.observe("echo_tag", client.echo_tag(tag).await);
    let measurement = Measurement {
        unit: "m".into(),
        value: 1.5,
    };
    report.observe(
        "echo_measurement",
        client.echo_measurement(measurement).await,
    );
    let config = Config {
        key: "k".into(),
        value: "v".into(),
    };
    report.observe("echo_config", client.echo_config(config).await);
    report.observe("echo_record/afterwards", client.echo_record(record).await);
    Ok(())
}

pub async fn call_as_evolved(report: &Report, address: &str) -> Result<(), String> {
    use evolved::{Config, Measurement, Profile, Record, Status, Tag};
    let client: evolved::TestbedClient = link::connect(address).await?;
    let record = Record {
        gamma: 2.5,
        alpha: -1,
        beta: "b".into(),
    };

    let profile = Profile {
        name: "Ana".into(),
        bio: "x".into(),
        avatar: Some("a.png".into()),
    };
    report.observe("echo_profile", client.echo_profile(profile).await);
    report.observe("echo_record", client.echo_record(record.clone()).await);
    report.observe("echo_status", client.echo_status(Status::Inactive).await);
    let answer = client.echo_status(Status::Suspended).await;
    report.observe("echo_status/suspended", answer);
    let tag = Tag {
        label: "t".into(),
        priority: 7,
    };
    report.observe("echo_tag", client.echo_tag(tag).await);
    let measurement = Measurement {
        unit: "m".into(),
        value: "1.5".into(),
    };
    report.observe(
        "echo_measurement",
        client.echo_measurement(measurement).await,
    );
    let config = Config {
        key: "k".into(),
        value: "v".into(),
        owner: "o".into(),
    };
    report.observe("echo_config", client.echo_config(config).await);
    report.observe("echo_record/afterwards", client.echo_record(record).await);
    Ok(())
}
