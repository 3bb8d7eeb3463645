//! Asks what may never answer: a mount whose server is gone, a file behind FUSE, a sensor. Then only a thread waits for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};
use std::{io, thread};

/// How long all questions of one time may take together.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct Worker<Q, A> {
    function: fn(&Q) -> A,
    /// What has not answered yet, each with what the thread that waits for it will send. It is not asked again until then.
    hung: HashMap<Q, Receiver<A>>,
}

impl<Q: Clone + Eq + Hash + Send + 'static, A: Send + 'static> Worker<Q, A> {
    pub fn new(function: fn(&Q) -> A) -> Self {
        Self { function, hung: HashMap::new() }
    }

    /// The answer to each of these, or why there is none. One thread asks them in this order; if one of them hangs, another
    /// thread asks those that come after.
    pub fn ask(&mut self, questions: impl IntoIterator<Item = Q>) -> HashMap<Q, Result<A, String>> {
        let deadline = Instant::now() + PATIENCE;
        self.hung.retain(|_, answers| matches!(answers.try_recv(), Err(TryRecvError::Empty)));
        let no_answer = || Err("it does not answer".to_owned());
        let (hung, mut rest): (Vec<Q>, Vec<Q>) =
            questions.into_iter().partition(|question| self.hung.contains_key(question));
        let mut all: HashMap<_, _> =
            hung.into_iter().map(|question| (question, no_answer())).collect();
        while !rest.is_empty() {
            let (answers, done) = match self.start(rest.clone()) {
                Ok(answers) => answers,
                Err(reason) => {
                    all.extend(rest.drain(..).map(|question| (question, Err(reason.to_string()))));
                    break;
                }
            };
            // The other half of the time is for those that come after one that hangs. To be woken by each answer would take
            // longer than most answers do.
            let _ = done.recv_timeout(deadline.saturating_duration_since(Instant::now()) / 2);
            let mut asked = std::mem::take(&mut rest).into_iter();
            while let Some(question) = asked.next() {
                match answers.try_recv() {
                    Ok(answer) => all.insert(question, Ok(answer)),
                    Err(_) => {
                        self.hung.insert(question.clone(), answers);
                        all.insert(question, no_answer());
                        rest = asked.collect();
                        break;
                    }
                };
            }
        }
        all
    }

    /// A thread that asks these, one after the other, as long as anybody wants to know; the other channel closes when it ends.
    fn start(&self, questions: Vec<Q>) -> io::Result<(Receiver<A>, Receiver<()>)> {
        let (sender, answers) = channel();
        let (end, done) = channel();
        let function = self.function;
        thread::Builder::new().stack_size(64 * 1024).spawn(move || {
            let _end = end;
            for question in questions {
                if sender.send(function(&question)).is_err() {
                    return;
                }
            }
        })?;
        Ok((answers, done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, MutexGuard};

    static FREE: Mutex<()> = Mutex::new(());

    fn free() -> MutexGuard<'static, ()> {
        FREE.lock().expect("a lock")
    }

    #[test]
    fn one_that_hangs_costs_itself_until_it_answers() {
        let mut worker = Worker::new(|number: &u32| {
            if *number == 2 {
                drop(free());
            }
            number * 10
        });
        let numbers = |answers: HashMap<u32, Result<u32, String>>| {
            let mut numbers: Vec<_> = answers.into_iter().map(|(of, is)| (of, is.ok())).collect();
            numbers.sort();
            numbers
        };
        let without = [(1, Some(10)), (2, None), (3, Some(30))];
        let held = free();
        assert_eq!(numbers(worker.ask([1, 2, 3])), without);
        let again = Instant::now();
        assert_eq!(numbers(worker.ask([1, 2, 3])), without);
        assert!(again.elapsed() < PATIENCE / 2, "it is not asked again");
        drop(held);
        let answered = Instant::now();
        while worker.ask([2])[&2].is_err() {
            assert!(answered.elapsed() < Duration::from_secs(10));
        }
    }
}
