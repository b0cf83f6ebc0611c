//! Runs seeds of the full simulator.

use std::process::ExitCode;

use tracing_subscriber::layer::SubscriberExt;

use super::story::Story;
use super::world::World;

pub(crate) fn main(words: &[String]) -> ExitCode {
    let seed = words.iter().skip_while(|word| *word != "--seed").nth(1);
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let story = Story::default();
    let log = tracing_subscriber::registry().with(story.clone());
    let outcome = tracing::subscriber::with_default(log, || World::new(seed, story.clone()).run());
    for line in story.into_lines() {
        println!("{line}");
    }
    println!("{outcome:?}");
    ExitCode::SUCCESS
}
