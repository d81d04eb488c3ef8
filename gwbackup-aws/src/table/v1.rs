//! REST APIs and what the first version of the API keeps beside them.

use gwbackup_core::model::{Restore, Role};

use super::Is::{Default, Immutable, Moving, Own, Secret, Spare, Unordered};
use super::{Change, Make, Row, Told, arn, needs, refers, row};
use crate::client::Paging;

/// In the order of writing.
pub(super) const ROWS: &[Row] = &[
    Row {
        paging: Paging::None,
        told: Told::Alone,
        make: Make::Never,
        can_go: false,
        members: &[("/throttleSettings", Own), ("/apiKeyVersion", Own), ("/features", Unordered)],
        outside: &[("/cloudwatchRoleArn", "role")],
        ..row("account", "", 0, "account")
    },
    Row {
        members: &[
            ("/id", Own),
            ("/status", Own),
            ("/statusMessage", Own),
            ("/targetArns", Unordered),
            ("/targetArns", Immutable),
        ],
        called: "name",
        outside: &[("/targetArns/*", "load_balancer")],
        ..row("vpc_link", "", 5, "vpclinks")
    },
    Row {
        id: "clientCertificateId",
        members: &[
            ("/clientCertificateId", Own),
            ("/pemEncodedCertificate", Own),
            ("/createdDate", Own),
            ("/expirationDate", Own),
        ],
        called: "description",
        ..row("client_certificate", "", 5, "clientcertificates")
    },
    Row {
        query: &[("includeValues", "true")],
        members: &[
            ("/id", Own),
            ("/createdDate", Own),
            ("/lastUpdatedDate", Moving),
            ("/stageKeys", Own),
            ("/value", Secret),
            ("/value", Immutable),
        ],
        called: "name",
        ..row("api_key", "", 6, "apikeys")
    },
    Row {
        members: &[
            ("/id", Own),
            ("/createdDate", Own),
            ("/rootResourceId", Own),
            ("/apiStatus", Own),
            ("/apiStatusMessage", Own),
            ("/warnings", Own),
            ("/binaryMediaTypes", Unordered),
            ("/endpointConfiguration/vpcEndpointIds", Unordered),
            ("/apiKeySource", Default("\"HEADER\"")),
            ("/disableExecuteApiEndpoint", Default("false")),
        ],
        called: "name",
        outside: &[("/endpointConfiguration/vpcEndpointIds/*", "vpc_endpoint")],
        ..row("rest_api", "", 10, "restapis")
    },
    Row {
        id: "name",
        named: "name",
        members: &[("/id", Own), ("/contentType", Immutable)],
        born: &["Empty", "Error"],
        ..row("rest_model", "rest_api", 11, "models")
    },
    Row {
        named: "name",
        members: &[("/id", Own)],
        ..row("rest_request_validator", "rest_api", 11, "requestvalidators")
    },
    Row {
        named: "name",
        members: &[("/id", Own), ("/providerARNs", Unordered)],
        outside: &[
            ("/providerARNs/*", "user_pool"),
            ("/authorizerUri", "function"),
            ("/authorizerCredentials", "role"),
        ],
        ..row("rest_authorizer", "rest_api", 11, "authorizers")
    },
    Row {
        id: "responseType",
        named: "responseType",
        make: Make::Put,
        change: Change::Again,
        members: &[("/defaultResponse", Own)],
        ..row("rest_gateway_response", "rest_api", 11, "gatewayresponses")
    },
    Row {
        named: "path",
        query: &[("embed", "methods")],
        make: Make::Own,
        change: Change::Never,
        members: &[("/id", Own), ("/parentId", Own), ("/pathPart", Own)],
        refs: &[refers("/parentId", &["rest_resource"], Role::Owner)],
        born: &["/"],
        ..row("rest_resource", "rest_api", 12, "resources")
    },
    Row {
        id: "httpMethod",
        named: "httpMethod",
        make: Make::Own,
        change: Change::Again,
        members: &[
            ("/authorizationScopes", Unordered),
            ("/methodIntegration/cacheKeyParameters", Unordered),
            ("/methodIntegration/cacheKeyParameters", Default("[]")),
            ("/methodIntegration/timeoutInMillis", Default("29000")),
        ],
        refs: &[
            needs("/authorizerId", &["rest_authorizer"]),
            needs("/requestValidatorId", &["rest_request_validator"]),
            refers("/methodIntegration/cacheNamespace", &["rest_resource"], Role::Weak),
        ],
        outside: &[
            ("/methodIntegration/uri", "function"),
            ("/methodIntegration/credentials", "role"),
            ("/methodIntegration/integrationTarget", "load_balancer"),
        ],
        ..row("rest_method", "rest_resource", 13, "methods")
    },
    Row {
        named: "location",
        members: &[("/id", Own), ("/location", Immutable)],
        ..row("rest_documentation_part", "rest_api", 14, "documentation/parts")
    },
    Row {
        id: "version",
        named: "version",
        members: &[("/createdDate", Own)],
        ..row("rest_documentation_version", "rest_api", 15, "documentation/versions")
    },
    Row {
        make: Make::Own,
        change: Change::Never,
        members: &[
            ("/id", Own),
            ("/createdDate", Own),
            ("/description", Own),
            ("/export/servers", Own),
            ("/export/info/version", Own),
            ("/apiSummary", Own),
            ("/export", Spare),
        ],
        refs: &[refers(
            "/export/paths/*/*/x-amazon-apigateway-integration/cacheNamespace",
            &["rest_resource"],
            Role::Weak,
        )],
        restore: Restore::WhenReferenced,
        nameless: true,
        served: "rest_stage",
        ..row("rest_deployment", "rest_api", 16, "deployments")
    },
    Row {
        id: "stageName",
        named: "stageName",
        paging: Paging::None,
        members: &[
            ("/createdDate", Own),
            ("/lastUpdatedDate", Moving),
            ("/cacheClusterStatus", Own),
            ("/webAclArn", Own),
            ("/cacheClusterEnabled", Default("false")),
            ("/tracingEnabled", Default("false")),
            ("/methodSettings", Default("{}")),
        ],
        later: &["/methodSettings", "/accessLogSettings", "/clientCertificateId"],
        refs: &[
            needs("/deploymentId", &["rest_deployment"]),
            needs("/canarySettings/deploymentId", &["rest_deployment"]),
            needs("/clientCertificateId", &["client_certificate"]),
        ],
        outside: &[("/accessLogSettings/destinationArn", "log_group"), ("/webAclArn", "web_acl")],
        ..row("rest_stage", "rest_api", 17, "stages")
    },
    Row {
        members: &[("/id", Own), ("/apiStages", Unordered), ("/apiStages", Default("[]"))],
        later: &["/productCode"],
        refs: &[needs("/apiStages/*/apiId", &["rest_api"])],
        called: "name",
        ..row("usage_plan", "", 60, "usageplans")
    },
    Row {
        change: Change::Never,
        members: &[("/value", Secret), ("/value", Own), ("/name", Own)],
        refs: &[refers("/id", &["api_key"], Role::Owner)],
        ..row("usage_plan_key", "usage_plan", 61, "keys")
    },
    Row {
        id: "domainName",
        named: "domainName",
        members: &[
            ("/domainNameId", Own),
            ("/domainNameArn", Own),
            ("/certificateUploadDate", Own),
            ("/regionalDomainName", Own),
            ("/regionalHostedZoneId", Own),
            ("/distributionDomainName", Own),
            ("/distributionHostedZoneId", Own),
            ("/domainNameStatus", Own),
            ("/domainNameStatusMessage", Own),
            ("/managementPolicy", Own),
            ("/mutualTlsAuthentication/truststoreWarnings", Own),
        ],
        outside: &[
            ("/certificateArn", "certificate"),
            ("/regionalCertificateArn", "certificate"),
            ("/ownershipVerificationCertificateArn", "certificate"),
            ("/mutualTlsAuthentication/truststoreUri", "truststore"),
        ],
        arn: "domainNameArn",
        ..row("domain_name", "", 70, "domainnames")
    },
    Row {
        id: "basePath",
        named: "basePath",
        refs: &[needs("/restApiId", &["rest_api"])],
        ..row("base_path_mapping", "domain_name", 71, "basepathmappings")
    },
    Row {
        id: "domainNameAccessAssociationArn",
        told: Told::Only,
        change: Change::Operations,
        members: &[
            ("/domainNameAccessAssociationArn", Own),
            ("/domainNameArn", Immutable),
            ("/accessAssociationSource", Immutable),
            ("/accessAssociationSourceType", Immutable),
        ],
        refs: &[arn("/domainNameArn", &["domain_name"], Role::Needs)],
        nameless: true,
        arn: "domainNameAccessAssociationArn",
        outside: &[("/accessAssociationSource", "vpc_endpoint")],
        ..row("domain_name_access_association", "", 74, "domainnameaccessassociations")
    },
];
