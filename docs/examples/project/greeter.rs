// SPDX-License-Identifier: MIT
/// Whom to greet.
pub struct Person {
    pub name: String,
    pub titles: Vec<String>,
    pub nickname: Option<String>,
    /// Is not shown by debug prints.
    #[facet(sensitive)]
    pub birthday: Option<Date>,
}

pub struct Date {
    pub year: i32,
    pub month: u8,
    pub day: u8,
}

pub enum Greeting {
    /// Nothing to say.
    Silence,
    Words(String),
    Song { verses: Vec<String>, loud: bool },
}

#[vox::service]
pub trait Greeter {
    /// Finds the right words.
    #[vox(idem)]
    async fn greet(&self, person: Person, languages: Vec<String>) -> Result<Greeting, String>;
}
