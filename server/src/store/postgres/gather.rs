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
        let begins = {
            let mut line = self.0.line();
            line.waiting.entry(key).or_default().push(reply);
            let begins = line.asking < AT_ONCE;
            line.asking += usize::from(begins);
            begins
        };
        if begins {
            // A task of its own: whoever hangs up takes the answer from nobody else.
            tokio::spawn(Arc::clone(&self.0).ask_while_some_wait());
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Fault("a question was given up".into())))
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

    /// Asks for all that wait, again and again, until nobody does. (In a box, as it may have another one begin.)
    fn ask_while_some_wait(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut turn = Turn { inner: self, over: false };
            while let Some(asked) = turn.take() {
                let mut answer = (turn.inner.ask)(asked.keys().cloned().collect());
                let found = if let Ok(found) = timeout(PATIENCE, &mut answer).await {
                    found
                } else {
                    turn.pass_on();
                    answer.await
                };
                if matches!(found, Err(StoreError::Fault(_))) && asked.len() > 1 {
                    // Something is wrong with what belongs to one of them: alone, the others are answered.
                    turn.pass_on();
                    for (key, replies) in asked {
                        let found = (turn.inner.ask)(vec![key.clone()]).await;
                        tell(HashMap::from([(key, replies)]), &found);
                    }
                } else {
                    tell(asked, &found);
                }
            }
        })
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

    /// Has another task ask for those who wait, if there are any. (When the runtime is gone, nobody does.)
    fn pass_on(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let mut line = self.inner.line();
        match Handle::try_current() {
            Ok(runtime) if !line.waiting.is_empty() => {
                drop(line);
                runtime.spawn(Arc::clone(&self.inner).ask_while_some_wait());
            }
            _ => {
                line.asking -= 1;
                line.waiting.clear();
            }
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
    use tokio::time::Instant;

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

    fn find<V: Clone + Send + 'static>(
        gather: &Arc<Gather<u32, V>>,
        key: u32,
    ) -> tokio::task::JoinHandle<Result<Option<V>>> {
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
        let (gather, mut keys) = asked(Arc::new(Semaphore::new(0)));
        let mut silent = Vec::new();
        for _ in 0..AT_ONCE {
            silent.push(find(&gather, 1));
            assert_eq!(keys.recv().await, Some(vec![1]));
        }
        for key in 2..10 {
            let began = Instant::now();
            silent.push(find(&gather, key));
            let asked = timeout(PATIENCE * 2, keys.recv()).await;
            assert_eq!(asked.expect("it is asked for"), Some(vec![key]));
            assert!(began.elapsed() <= PATIENCE + Duration::from_millis(1), "{key}");
        }
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
        let limit = Duration::from_secs(10);
        for _ in 0..=AT_ONCE {
            let lost = timeout(limit, gather.find(0)).await.expect("it is answered");
            assert!(matches!(lost, Err(StoreError::Fault(_))));
        }
        let found = timeout(limit, gather.find(1)).await.expect("it is answered");
        assert_eq!(found.unwrap(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_with_one_key_fails_no_other() {
        let gate = Arc::new(Semaphore::new(0));
        let wait = Arc::clone(&gate);
        let (told, mut asked) = mpsc::unbounded_channel();
        let gather: Arc<Gather<u32, u32>> = Arc::new(Gather::new(move |keys: Vec<u32>| {
            let wait = Arc::clone(&wait);
            let _ = told.send(keys.len());
            Box::pin(async move {
                let _open = wait.acquire().await.expect("it is never closed");
                if keys.contains(&0) {
                    return Err(StoreError::Fault("it cannot be read".into()));
                }
                Ok(keys.into_iter().map(|key| (key, key)).collect())
            })
        }));
        let mut under_way = Vec::new();
        for _ in 0..AT_ONCE {
            under_way.push(find(&gather, 1));
            assert_eq!(asked.recv().await, Some(1));
        }
        let together = [0, 1, 2].map(|key| find(&gather, key));
        while gather.0.line().waiting.len() < 3 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        let answers = join_all(together).await.into_iter().map(|answer| answer.unwrap().ok());
        assert_eq!(answers.collect::<Vec<_>>(), [None, Some(Some(1)), Some(Some(2))]);
        assert_eq!(asked.recv().await, Some(3));
    }
}
