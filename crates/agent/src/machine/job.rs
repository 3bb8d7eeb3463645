//! The jobs that have failed. Of a user who is not root, at most two are reported, so that none crowds out the others.

use super::service::{Service, Status};
use crate::job::{self, TOO_MANY, Users};
use chrono::Utc;
use std::collections::HashMap;

const OF_A_USER: usize = 2;

pub fn read() -> anyhow::Result<Vec<Service>> {
    let (jobs, are_too_many) = job::list()?;
    let now = Utc::now().timestamp();
    let users = Users::read_if(!jobs.is_empty());
    let mut counts: HashMap<u32, usize> = HashMap::new();
    let mut services = Vec::new();
    for job in jobs {
        let (status, reason) = match &job.record {
            None => (Status::Unknown, "its file cannot be understood".to_owned()),
            Some(record) => match record.failing(job.is_locked, now) {
                Some(reason) => (Status::Failed, reason),
                None => continue,
            },
        };
        let count = counts.entry(job.uid).or_default();
        *count += 1;
        if job.uid == 0 || *count <= OF_A_USER {
            services.push(Service {
                name: users.label(job.uid, &job.name),
                status,
                reason: Some(reason),
            });
        }
    }
    if are_too_many {
        let (name, reason) = ("jobs".to_owned(), Some(TOO_MANY.to_owned()));
        services.push(Service { name, status: Status::Failed, reason });
    }
    Ok(services)
}
