//! The commands: a file for each, with its arguments and what it does.

mod enroll;
mod events;
mod expect;
mod fleet;
mod forget;
mod group;
mod groups;
mod history;
mod keys;
mod limit;
mod notify;
mod page;
mod restore;
mod retire;
mod silence;
mod web;

use crate::target::Target;
use clap::Subcommand;

/// Each command by its name, and the module that has its `Command`.
macro_rules! commands {
    ($($name:ident: $module:ident,)*) => {
        #[derive(Subcommand)]
        pub enum Command {
            $($name($module::Command),)*
        }

        impl Command {
            pub async fn run(self, target: &Target) -> anyhow::Result<()> {
                match self {
                    $(Self::$name(command) => command.run(target).await,)*
                }
            }
        }
    };
}

commands! {
    Fleet: fleet,
    History: history,
    Events: events,
    Keys: keys,
    Notify: notify,
    Silence: silence,
    Expect: expect,
    Limit: limit,
    Group: group,
    Groups: groups,
    Forget: forget,
    Restore: restore,
    Enroll: enroll,
    Retire: retire,
    Web: web,
    Page: page,
}
