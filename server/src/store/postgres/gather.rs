//! Questions that come while others of their kind are being asked are asked together: each request asks for its token and
//! for the head of its mesh, and a round trip for each of many requests is what a busy node would do most.
//!
//! Nobody is ever told what an earlier question has found: an answer is as of a moment after it was asked for.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::error::chain;
use crate::store::{Result, StoreError};

/// Most questions that are under way, unless they take long.
const AT_ONCE: usize = 2;
/// How long others wait for a question that is under way: it may be at a connection that was cut off.
const PATIENCE: Duration = Duration::from_millis(100);

/// Asks for what belongs to some keys; what is not there is missing from the answer.
type Ask<K, V> = Box<dyn Fn(Vec<K>) -> BoxFuture<'static, Result<HashMap<K, V>>> + Send + Sync>;

/// A kind of question.
pub(super) struct Gather<K, V>(Arc<Inner<K, V>>);

struct Inner<K, V> {
    ask: Ask<K, V>,
    line: Mutex<Line<K, V>>,
}

/// Those who wait to be asked for.
struct Line<K, V> {
    waiting: HashMap<K, Vec<Reply<V>>>,
    asking: usize,
}

type Reply<V> = oneshot::Sender<Result<Option<V>>>;

impl<K, V> Gather<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// Questions that are asked in this way.
    pub(super) fn new(
        ask: impl Fn(Vec<K>) -> BoxFuture<'static, Result<HashMap<K, V>>> + Send + Sync + 'static,
    ) -> Self {
        let line = Mutex::new(Line { waiting: HashMap::new(), asking: 0 });
        Self(Arc::new(Inner { ask: Box::new(ask), line }))
    }

    /// What belongs to a key.
    pub(super) async fn find(&self, key: K) -> Result<Option<V>> {
        let (reply, answer) = oneshot::channel();
        {
            let mut line = self.0.line();
            line.waiting.entry(key).or_default().push(reply);
            if line.asking < AT_ONCE {
                line.asking += 1;
                // A task of its own: whoever hangs up takes the answer from nobody else.
                tokio::spawn(Arc::clone(&self.0).ask_while_some_wait());
            }
        }
        answer.await.unwrap_or_else(|lost| Err(StoreError::Fault(lost.into())))
    }
}

impl<K, V> Inner<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    fn line(&self) -> MutexGuard<'_, Line<K, V>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for all that wait, again and again, until nobody does.
    fn ask_while_some_wait(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut turn = Turn { inner: self, over: false };
            while let Some(asked) = turn.take() {
                let mut answer = (turn.inner.ask)(asked.keys().cloned().collect());
                if let Ok(found) = timeout(PATIENCE, &mut answer).await {
                    tell(asked, &found);
                } else {
                    turn.pass_on();
                    tell(asked, &answer.await);
                }
            }
        })
    }

    /// Hands a turn over to a new task when some wait. (When the runtime is gone, nobody does.)
    fn end_turn(self: &Arc<Self>) {
        let mut line = self.line();
        if line.waiting.is_empty() {
            line.asking -= 1;
        } else if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(Arc::clone(self).ask_while_some_wait());
        }
    }
}

/// One of those who may ask at a time.
struct Turn<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    inner: Arc<Inner<K, V>>,
    over: bool,
}

impl<K, V> Turn<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// All who wait; when there is none, the turn is over.
    fn take(&mut self) -> Option<HashMap<K, Vec<Reply<V>>>> {
        if self.over {
            return None;
        }
        let mut line = self.inner.line();
        if line.waiting.is_empty() {
            line.asking -= 1;
            self.over = true;
            return None;
        }
        Some(std::mem::take(&mut line.waiting))
    }

    /// Lets another one ask for those who wait.
    fn pass_on(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            self.inner.end_turn();
        }
    }
}

impl<K, V> Drop for Turn<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    fn drop(&mut self) {
        // A question that has panicked keeps nobody else from asking.
        self.pass_on();
    }
}

/// Answers all who have asked.
fn tell<K: Eq + Hash, V: Clone>(asked: HashMap<K, Vec<Reply<V>>>, found: &Result<HashMap<K, V>>) {
    for (key, replies) in asked {
        for reply in replies {
            let answer = match found {
                Ok(found) => Ok(found.get(&key).cloned()),
                Err(StoreError::Unavailable(why)) => {
                    Err(StoreError::Unavailable(chain(why.as_ref()).into()))
                }
                Err(StoreError::Fault(why)) => Err(StoreError::Fault(chain(why.as_ref()).into())),
            };
            // Nobody waits any more when the client has hung up.
            let _ = reply.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::{Semaphore, mpsc};

    use super::*;

    /// Answers each question, with its number, when it is let; and says which keys were in it.
    fn asked(
        let_go: Arc<Semaphore>,
    ) -> (Arc<Gather<u32, usize>>, mpsc::UnboundedReceiver<Vec<u32>>) {
        let (told, keys_asked) = mpsc::unbounded_channel();
        let number = AtomicUsize::new(0);
        let gather = Gather::new(move |mut keys: Vec<u32>| {
            let let_go = Arc::clone(&let_go);
            let number = number.fetch_add(1, Ordering::Relaxed);
            keys.sort_unstable();
            let _ = told.send(keys.clone());
            Box::pin(async move {
                let_go.acquire().await.expect("it is never closed").forget();
                if keys.contains(&0) {
                    return Err(StoreError::Unavailable("away".into()));
                }
                Ok(keys.into_iter().filter(|key| *key < 100).map(|key| (key, number)).collect())
            })
        });
        (Arc::new(gather), keys_asked)
    }

    fn find(
        gather: &Arc<Gather<u32, usize>>,
        key: u32,
    ) -> tokio::task::JoinHandle<Result<Option<usize>>> {
        let gather = Arc::clone(gather);
        tokio::spawn(async move { gather.find(key).await })
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_come_during_questions_are_asked_for_together_and_anew() {
        let let_go = Arc::new(Semaphore::new(0));
        let (gather, mut keys) = asked(Arc::clone(&let_go));
        let mut under_way = Vec::new();
        for key in 0..AT_ONCE {
            under_way.push(find(&gather, 1));
            assert_eq!(keys.recv().await, Some(vec![1]), "question {key}");
        }
        let late = [1, 1, 2, 100].map(|key| find(&gather, key));
        while gather.0.line().waiting.len() < 3 {
            tokio::task::yield_now().await;
        }
        let_go.add_permits(AT_ONCE + 1);
        let answers = join_all(late).await.into_iter().map(|answer| answer.unwrap().unwrap());
        // Never what a question has found that was asked before they came.
        let third = Some(AT_ONCE);
        assert_eq!(answers.collect::<Vec<_>>(), [third, third, third, None]);
        assert_eq!(keys.recv().await, Some(vec![1, 2, 100]));
        let answers = join_all(under_way).await.into_iter().map(|answer| answer.unwrap().unwrap());
        assert_eq!(answers.collect::<Vec<_>>(), (0..AT_ONCE).map(Some).collect::<Vec<_>>());
        let_go.add_permits(1);
        assert_eq!(find(&gather, 3).await.unwrap().unwrap(), Some(AT_ONCE + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_the_questions_of_others() {
        let let_go = Arc::new(Semaphore::new(0));
        let (gather, mut keys) = asked(let_go);
        // More than may be under way, and none of them is answered.
        let _silent: Vec<_> = (1..=10).map(|key| find(&gather, key)).collect();
        let mut asked = Vec::new();
        while asked.len() < 10 {
            asked.extend(keys.recv().await.expect("it goes on"));
        }
        let _late = find(&gather, 11);
        assert_eq!(keys.recv().await, Some(vec![11]));
    }

    #[tokio::test(start_paused = true)]
    async fn all_hear_that_a_question_has_failed_and_the_next_one_is_asked() {
        let let_go = Arc::new(Semaphore::new(usize::MAX >> 4));
        let (gather, _keys) = asked(let_go);
        let asked: Vec<_> = [0, 0].map(|key| find(&gather, key)).into();
        for answer in join_all(asked).await {
            assert!(matches!(answer.unwrap(), Err(StoreError::Unavailable(_))));
        }
        assert!(find(&gather, 1).await.unwrap().unwrap().is_some());
    }

    #[tokio::test]
    async fn a_question_that_panics_keeps_nobody_from_asking() {
        let gather: Gather<u32, u32> = Gather::new(|keys: Vec<u32>| {
            Box::pin(async move {
                assert!(!keys.contains(&0), "for the sake of the test");
                Ok(keys.into_iter().map(|key| (key, key)).collect())
            })
        });
        for _ in 0..=AT_ONCE {
            assert!(matches!(gather.find(0).await, Err(StoreError::Fault(_))));
        }
        assert_eq!(gather.find(1).await.unwrap(), Some(1));
    }
}
