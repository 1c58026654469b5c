//! What connects a cache to other things, through its public interface alone.

#[cfg(feature = "test-util")]
pub mod testing;
