//! The verbs and witnesses of steadfast, generic over a Platform
