//! DescribeAcls 1 to 3. Who may ask is decided before it comes here. A filter with a number that Kafka does not know is, as
//! there, a request that cannot be read.

use std::sync::Arc;

use crate::broker::acl::{Filter, unknown};
use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::describe_acls::{AclDescription, DescribeAclsResource, Request, Response};
use crate::wire::{ErrorCode, Str};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let Request { resource_type_filter, pattern_type_filter, operation, permission_type, .. } = request;
    if unknown(resource_type_filter, pattern_type_filter, operation, permission_type) {
        return Reply::Close;
    }
    let Some(authorizer) = broker.acls.authorizer() else {
        return to.now(Response {
            error_code: ErrorCode::SECURITY_DISABLED.0,
            error_message: Some(Str::from_static("No Authorizer is configured on the broker")),
            ..Default::default()
        });
    };
    let found = authorizer.find(&Filter {
        resource_type: resource_type_filter,
        name: request.resource_name_filter,
        pattern_type: pattern_type_filter,
        principal: request.principal_filter,
        host: request.host_filter,
        operation,
        permission: permission_type,
    });
    // In order, so that what is about one pattern comes together.
    let mut resources: Vec<DescribeAclsResource> = Vec::new();
    for binding in found {
        let acl = AclDescription {
            principal: binding.principal,
            host: binding.host,
            operation: binding.operation,
            permission_type: binding.permission,
            ..Default::default()
        };
        match resources.last_mut() {
            Some(last)
                if last.resource_type == binding.resource_type
                    && last.pattern_type == binding.pattern_type
                    && last.resource_name == binding.name =>
            {
                last.acls.push(acl);
            }
            _ => resources.push(DescribeAclsResource {
                resource_type: binding.resource_type,
                resource_name: binding.name,
                pattern_type: binding.pattern_type,
                acls: vec![acl],
                ..Default::default()
            }),
        }
    }
    to.now(Response { resources, ..Default::default() })
}
