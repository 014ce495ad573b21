//! Webhook bodies become inputs of the engine.
