"""What is in an emulator of API Gateway, by boto3: made, read, edited, deleted.

    witness.py URL seed|seed-large|dump|edit|clear

Prints one JSON object. What the emulator refuses does not stop it: it is listed, for the test to hold
against its table. Nothing here knows the library under test.
"""

import json
import re
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

REGION = "eu-central-1"
ARN = f"{REGION}:123456789012"
LAMBDA = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/arn:aws:lambda:{ARN}:function:f/invocations"
JSON = "application/json"


def client(name):
    return boto3.client(
        name,
        endpoint_url=sys.argv[1],
        region_name=REGION,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )


one, two = client("apigateway"), client("apigatewayv2")
refused = set()


def attempt(what, call, **arguments):
    """The answer; of what is refused, nothing, and it is listed."""
    try:
        return call(**arguments)
    except (ClientError, ParamValidationError):
        refused.add(what)
        return {}


# ---- made ----


def seed():
    patch = [{"op": "replace", "path": "/cloudwatchRoleArn", "value": "arn:aws:iam::123456789012:role/logs"}]
    attempt("account", one.update_account, patchOperations=patch)
    balancer = f"arn:aws:elasticloadbalancing:{ARN}:loadbalancer/net/a/1"
    link = attempt("vpc_link", one.create_vpc_link, name="private", targetArns=[balancer]).get("id")
    attempt("client_certificate", one.generate_client_certificate, description="edge")
    keys = {}
    for name in "mobile", "partner":
        key = attempt("api_key", one.create_api_key, name=name, value=f"a-secret-value-of-{name}", enabled=True, tags={"for": name})
        keys[name] = key.get("id")
    apis = [rest(n, link) for n in ("first", "second")]
    for n, api in enumerate(apis):
        plan = attempt(
            "usage_plan",
            one.create_usage_plan,
            name="gold",
            description=str(n),
            apiStages=[{"apiId": api, "stage": "prod"}],
            throttle={"rateLimit": 10.5, "burstLimit": 20},
            quota={"limit": 1000 + n, "period": "MONTH", "offset": 0},
        )
        attempt("usage_plan_key", one.create_usage_plan_key, usagePlanId=plan.get("id"), keyId=keys["mobile"], keyType="API_KEY")
    domain = "api.example.com"
    attempt(
        "domain_name",
        one.create_domain_name,
        domainName=domain,
        regionalCertificateArn=f"arn:aws:acm:{ARN}:certificate/1",
        endpointConfiguration={"types": ["REGIONAL"]},
        securityPolicy="TLS_1_2",
    )
    for path, api in ("v1", apis[0]), ("v2", apis[1]):
        attempt("base_path_mapping", one.create_base_path_mapping, domainName=domain, basePath=path, restApiId=api, stage="prod")
    shop = http()
    attempt("api_mapping", two.create_api_mapping, DomainName=domain, ApiId=shop, Stage="$default", ApiMappingKey="shop")
    websocket()


def rest(which, link):
    made = one.create_rest_api(
        name="orders",
        description=which,
        version="7",
        binaryMediaTypes=["image/png"],
        minimumCompressionSize=1024,
        endpointConfiguration={"types": ["REGIONAL"]},
        tags={"team": which},
    )
    api = {"restApiId": made["id"]}
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": f"arn:aws:execute-api:{ARN}:{made['id']}/*"}]}
    patch = [{"op": "replace", "path": "/policy", "value": json.dumps(policy)}]
    attempt("rest_api policy", one.update_rest_api, **api, patchOperations=patch)
    schema = {"type": "object", "properties": {"id": {"type": "string"}}}
    attempt("rest_model", one.create_model, **api, name="Order", description="an order", contentType=JSON, schema=json.dumps(schema))
    schema = {"type": "array", "items": {"$ref": f"https://apigateway.amazonaws.com/restapis/{made['id']}/models/Order"}}
    attempt("rest_model", one.create_model, **api, name="Orders", contentType=JSON, schema=json.dumps(schema))
    validator = attempt("rest_request_validator", one.create_request_validator, **api, name="body", validateRequestBody=True, validateRequestParameters=False)
    token = attempt(
        "rest_authorizer", one.create_authorizer, **api, name="token", type="TOKEN", authType="custom", authorizerUri=LAMBDA,
        identitySource="method.request.header.Authorization", authorizerResultTtlInSeconds=60,
    )
    attempt(
        "rest_authorizer", one.create_authorizer, **api, name="people", type="COGNITO_USER_POOLS", authType="cognito_user_pools",
        providerARNs=[f"arn:aws:cognito-idp:{ARN}:userpool/{REGION}_a"], identitySource="method.request.header.Authorization",
    )
    attempt(
        "rest_gateway_response", one.put_gateway_response, **api, responseType="DEFAULT_4XX", statusCode="418",
        responseParameters={"gatewayresponse.header.X": "'1'"}, responseTemplates={JSON: '{"message":$context.error.messageString}'},
    )
    below = lambda parent, part: one.create_resource(**api, parentId=parent, pathPart=part)["id"]
    orders = below(made["rootResourceId"], "orders")
    order = below(orders, "{id}")
    method(api, orders, "GET", {"authorizationType": "CUSTOM", "authorizerId": token.get("id"), "apiKeyRequired": True, "requestParameters": {"method.request.querystring.q": True}},
           {"type": "HTTP", "integrationHttpMethod": "GET", "uri": "https://orders.internal/", "requestParameters": {"integration.request.querystring.q": "method.request.querystring.q"}, "timeoutInMillis": 5000})
    method(api, orders, "POST", {"authorizationType": "NONE", "requestValidatorId": validator.get("id"), "requestModels": {JSON: "Order"}, "operationName": "order"},
           {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": LAMBDA, "credentials": "arn:aws:iam::123456789012:role/invoke"})
    method(api, order, "DELETE", {"authorizationType": "AWS_IAM"}, {"type": "MOCK", "requestTemplates": {JSON: '{"statusCode": 204}'}})
    if link and which == "first":
        method(api, order, "PUT", {"authorizationType": "NONE"}, {"type": "HTTP_PROXY", "integrationHttpMethod": "PUT", "uri": "http://private.internal/", "connectionType": "VPC_LINK", "connectionId": link})
    for n in range(12 if which == "second" and sys.argv[2] == "seed-large" else 0):
        # So many that they go by one import where there is one.
        part = below(order, f"part{n}")
        method(api, part, "GET", {"authorizationType": "NONE"}, {"type": "HTTP_PROXY", "integrationHttpMethod": "GET", "uri": f"https://parts.internal/{n}"})
        method(api, part, "HEAD", {"authorizationType": "NONE"}, {"type": "MOCK", "requestTemplates": {JSON: '{"statusCode": 200}'}})
    part = json.dumps({"description": "orders"})
    attempt("rest_documentation_part", one.create_documentation_part, **api, location={"type": "RESOURCE", "path": "/orders"}, properties=part)
    attempt("rest_documentation_version", one.create_documentation_version, **api, documentationVersion="1", description="v")
    for stage in "prod", "test":
        deployment = one.create_deployment(**api, description=f"for {stage}")["id"]
        attempt("rest_stage", one.create_stage, **api, stageName=stage, deploymentId=deployment, description="s", variables={"alias": stage, "table": "t-1"}, tracingEnabled=True, tags={"stage": stage})
    patch = [
        {"op": "replace", "path": "/*/*/logging/loglevel", "value": "INFO"},
        {"op": "replace", "path": "/~1orders/GET/throttling/burstLimit", "value": "5"},
    ]
    attempt("rest_stage settings", one.update_stage, **api, stageName="prod", patchOperations=patch)
    log = [{"op": "replace", "path": "/accessLogSettings/destinationArn", "value": f"arn:aws:logs:{ARN}:log-group:gw"},
           {"op": "replace", "path": "/accessLogSettings/format", "value": "$context.requestId"}]
    attempt("rest_stage log", one.update_stage, **api, stageName="prod", patchOperations=log)
    return made["id"]


def method(api, resource, verb, what, integration):
    at = {**api, "resourceId": resource, "httpMethod": verb}
    one.put_method(**at, **what)
    one.put_method_response(**at, statusCode="200", responseModels={JSON: "Order"}, responseParameters={"method.response.header.X-Own": False})
    one.put_method_response(**at, statusCode="404")
    one.put_integration(**at, **integration)
    if not integration["type"].endswith("PROXY"):
        one.put_integration_response(**at, statusCode="200", responseTemplates={JSON: ""})
        one.put_integration_response(**at, statusCode="404", selectionPattern="4..", responseTemplates={JSON: ""})


def http():
    attempt("vpc_link_v2", two.create_vpc_link, Name="inside", SubnetIds=["subnet-1"], SecurityGroupIds=["sg-1"])
    made = two.create_api(Name="shop", ProtocolType="HTTP", Description="d", CorsConfiguration={"AllowOrigins": ["*"], "MaxAge": 10}, Tags={"a": "b"})
    api = {"ApiId": made["ApiId"]}
    jwt = attempt("api_authorizer", two.create_authorizer, **api, Name="jwt", AuthorizerType="JWT", IdentitySource=["$request.header.Authorization"], JwtConfiguration={"Issuer": "https://issuer.example", "Audience": ["shop"]})
    integration = lambda uri: two.create_integration(**api, IntegrationType="HTTP_PROXY", IntegrationUri=uri, IntegrationMethod="ANY", PayloadFormatVersion="1.0")["IntegrationId"]
    # Two of the same content, told apart by nothing but their ids.
    at = [integration(uri) for uri in ("https://shop.internal/", "https://shop.internal/", "https://other.internal/")]
    for key, target in ("GET /a", at[0]), ("GET /b", at[1]), ("$default", at[2]):
        # Nothing may name what cannot be listed: a restore would rightly refuse it.
        can = key == "GET /b" and listed("api_authorizer", two.get_authorizers, **api)
        more = {"AuthorizationType": "JWT", "AuthorizerId": jwt.get("AuthorizerId"), "AuthorizationScopes": ["s"]} if can else {}
        two.create_route(**api, RouteKey=key, Target=f"integrations/{target}", **more)
    attempt("api_stage", two.create_stage, **api, StageName="$default", AutoDeploy=True, StageVariables={"v": "1"})
    deployment = attempt("api_deployment", two.create_deployment, **api, Description="by hand").get("DeploymentId")
    attempt("api_stage", two.create_stage, **api, StageName="blue", DefaultRouteSettings={"ThrottlingBurstLimit": 5, "ThrottlingRateLimit": 2.5}, **({"DeploymentId": deployment} if deployment else {}))
    return made["ApiId"]


def websocket():
    made = two.create_api(Name="chat", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
    api = {"ApiId": made["ApiId"]}
    attempt("api_model", two.create_model, **api, Name="Message", ContentType=JSON, Schema="{}")
    integration = two.create_integration(**api, IntegrationType="HTTP_PROXY", IntegrationMethod="POST", IntegrationUri="https://chat.internal/")["IntegrationId"]
    attempt("api_integration_response", two.create_integration_response, **api, IntegrationId=integration, IntegrationResponseKey="$default")
    for key in "$connect", "send":
        route = two.create_route(**api, RouteKey=key, Target=f"integrations/{integration}", RouteResponseSelectionExpression="$default")["RouteId"]
    attempt("api_route_response", two.create_route_response, **api, RouteId=route, RouteResponseKey="$default")
    attempt("api_stage", two.create_stage, **api, StageName="live", Description="l")


# ---- read ----

# Times, and hosts that the service assigns.
MOVING = {"createdDate", "lastUpdatedDate", "CreatedDate", "LastUpdatedDate", "certificateUploadDate", "ApiEndpoint", "regionalDomainName",
          "regionalHostedZoneId", "distributionDomainName", "distributionHostedZoneId", "domainNameArn", "ApiGatewayDomainName", "HostedZoneId"}
names, things = {}, {}


def listed(what, call, **arguments):
    answer = attempt(what, call, **arguments)
    return answer.get("items", answer.get("Items", answer.get("item", [])))


def put(kind, name, thing, *ids):
    things[f"{kind} {name}"] = thing
    names.update({thing[i]: f"<{kind} {name}>" for i in ids if thing.get(i)})


def read():
    account = one.get_account()
    account.pop("ResponseMetadata")
    things["account"] = account
    for link in listed("vpc_link", one.get_vpc_links):
        put("vpc_link", link["name"], link, "id")
    for certificate in listed("client_certificate", one.get_client_certificates):
        put("client_certificate", certificate["description"], certificate, "clientCertificateId")
    for key in listed("api_key", one.get_api_keys, includeValues=True):
        put("api_key", key["name"], key, "id")
    for api in listed("rest_api", one.get_rest_apis, limit=500):
        read_rest(api)
    for plan in listed("usage_plan", one.get_usage_plans):
        name = f"{plan['name']} {plan.get('description')}"
        put("usage_plan", name, plan, "id")
        for key in listed("usage_plan_key", one.get_usage_plan_keys, usagePlanId=plan["id"]):
            put("usage_plan_key", f"{name} {key['name']}", key)
    for domain in listed("domain_name", one.get_domain_names):
        name = domain["domainName"]
        put("domain_name", name, domain)
        for mapping in listed("base_path_mapping", one.get_base_path_mappings, domainName=name):
            put("base_path_mapping", f"{name} {mapping['basePath']}", mapping)
        for mapping in listed("api_mapping", two.get_api_mappings, DomainName=name):
            put("api_mapping", f"{name} {mapping.get('ApiMappingKey')}", mapping, "ApiMappingId")
    for link in listed("vpc_link_v2", two.get_vpc_links):
        put("vpc_link_v2", link["Name"], link, "VpcLinkId")
    for api in listed("api", two.get_apis):
        read_api(api)


def read_rest(api):
    at, own = {"restApiId": api["id"]}, f"{api['name']} {api.get('description')}"
    put("rest_api", own, api, "id")
    for resource in listed("rest_resource", one.get_resources, **at, limit=500, embed=["methods"]):
        put("rest_resource", f"{own} {resource['path']}", resource, "id")
    for kind, call, name in (
        ("rest_model", one.get_models, "name"),
        ("rest_request_validator", one.get_request_validators, "name"),
        ("rest_authorizer", one.get_authorizers, "name"),
        ("rest_documentation_version", one.get_documentation_versions, "version"),
        ("rest_deployment", one.get_deployments, "description"),
        ("rest_stage", one.get_stages, "stageName"),
    ):
        for item in listed(kind, call, **at):
            put(kind, f"{own} {item.get(name)}", item, "id")
    for response in listed("rest_gateway_response", one.get_gateway_responses, **at):
        if not response.get("defaultResponse"):
            put("rest_gateway_response", f"{own} {response['responseType']}", response)
    for part in listed("rest_documentation_part", one.get_documentation_parts, **at):
        put("rest_documentation_part", f"{own} {sorted(part['location'].items())}", part, "id")


def read_api(api):
    at, own = {"ApiId": api["ApiId"]}, api["Name"]
    put("api", own, api, "ApiId")
    for authorizer in listed("api_authorizer", two.get_authorizers, **at):
        put("api_authorizer", f"{own} {authorizer['Name']}", authorizer, "AuthorizerId")
    for model in listed("api_model", two.get_models, **at):
        put("api_model", f"{own} {model['Name']}", model, "ModelId")
    for deployment in listed("api_deployment", two.get_deployments, **at):
        # Those that the service makes by itself come and go.
        if not deployment.get("AutoDeployed"):
            put("api_deployment", f"{own} {deployment.get('Description')}", deployment, "DeploymentId")
    routes = {}
    for route in sorted(listed("api_route", two.get_routes, **at), key=lambda route: route["RouteKey"]):
        routes.setdefault(route.get("Target", "")[13:], []).append(route["RouteKey"])
    for integration in listed("api_integration", two.get_integrations, **at):
        name = f"{own} of {routes.get(integration['IntegrationId'])}"
        put("api_integration", name, integration, "IntegrationId")
        for response in listed("api_integration_response", two.get_integration_responses, **at, IntegrationId=integration["IntegrationId"]):
            put("api_integration_response", f"{name} {response['IntegrationResponseKey']}", response, "IntegrationResponseId")
    for route in listed("api_route", two.get_routes, **at):
        name = f"{own} {route['RouteKey']}"
        put("api_route", name, route, "RouteId")
        for response in listed("api_route_response", two.get_route_responses, **at, RouteId=route["RouteId"]):
            put("api_route_response", f"{name} {response['RouteResponseKey']}", response, "RouteResponseId")
    for stage in listed("api_stage", two.get_stages, **at):
        if stage.get("AutoDeploy"):
            stage.pop("DeploymentId", None)
        put("api_stage", f"{own} {stage['StageName']}", stage)


def spoken(value):
    """The value without what moves, with what things are called instead of their ids."""
    if isinstance(value, dict):
        return {spoken(name): spoken(part) for name, part in value.items() if name not in MOVING}
    if isinstance(value, list):
        return [spoken(part) for part in value]
    if isinstance(value, str):
        return re.sub(r"[A-Za-z0-9]+", lambda word: names.get(word[0], word[0]), value)
    return value


def dump():
    read()
    return {name: spoken(thing) for name, thing in things.items()}


# ---- edited and deleted ----


def edit():
    api = next(api for api in one.get_rest_apis()["items"] if api.get("description") == "first")
    at = {"restApiId": api["id"]}
    resources = {resource["path"]: resource["id"] for resource in one.get_resources(**at, limit=500)["items"]}
    one.update_rest_api(**at, patchOperations=[{"op": "replace", "path": "/name", "value": "edited"}])
    one.delete_method(**at, resourceId=resources["/orders"], httpMethod="POST")
    one.create_resource(**at, parentId=resources["/orders"], pathPart="added")
    one.update_stage(**at, stageName="test", patchOperations=[{"op": "replace", "path": "/variables/alias", "value": "edited"}])
    authorizer = next(a for a in one.get_authorizers(**at)["items"] if a["name"] == "token")
    one.update_authorizer(**at, authorizerId=authorizer["id"], patchOperations=[{"op": "replace", "path": "/authorizerResultTtlInSeconds", "value": "5"}])
    shop = next(api for api in two.get_apis()["Items"] if api["Name"] == "shop")
    at = {"ApiId": shop["ApiId"]}
    two.update_api(**at, CorsConfiguration={"AllowOrigins": ["https://edited.example"]})
    route = next(route for route in two.get_routes(**at)["Items"] if route["RouteKey"] == "GET /a")
    two.delete_route(**at, RouteId=route["RouteId"])
    two.create_route(**at, RouteKey="GET /added", Target=route["Target"])


def clear():
    for domain in listed("domain_name", one.get_domain_names):
        for mapping in listed("base_path_mapping", one.get_base_path_mappings, domainName=domain["domainName"]):
            # What would come back with a domain of the same name otherwise.
            one.delete_base_path_mapping(domainName=domain["domainName"], basePath=mapping["basePath"])
        one.delete_domain_name(domainName=domain["domainName"])
    for domain in listed("domain_name", two.get_domain_names):
        two.delete_domain_name(DomainName=domain["DomainName"])
    for plan in listed("usage_plan", one.get_usage_plans):
        for stage in plan.get("apiStages", []):
            patch = [{"op": "remove", "path": "/apiStages", "value": f"{stage['apiId']}:{stage['stage']}"}]
            one.update_usage_plan(usagePlanId=plan["id"], patchOperations=patch)
        one.delete_usage_plan(usagePlanId=plan["id"])
    for key in listed("api_key", one.get_api_keys):
        one.delete_api_key(apiKey=key["id"])
    for api in listed("rest_api", one.get_rest_apis, limit=500):
        one.delete_rest_api(restApiId=api["id"])
    for api in listed("api", two.get_apis):
        two.delete_api(ApiId=api["ApiId"])
    for link in listed("vpc_link", one.get_vpc_links):
        one.delete_vpc_link(vpcLinkId=link["id"])
    for link in listed("vpc_link_v2", two.get_vpc_links):
        two.delete_vpc_link(VpcLinkId=link["VpcLinkId"])
    patch = [{"op": "replace", "path": "/cloudwatchRoleArn", "value": ""}]
    attempt("account", one.update_account, patchOperations=patch)


if __name__ == "__main__":
    result = {"seed": seed, "seed-large": seed, "dump": dump, "edit": edit, "clear": clear}[sys.argv[2]]()
    print(json.dumps({"refused": sorted(refused), "things": result}, default=str, sort_keys=True))
